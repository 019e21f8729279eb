"""Worlds whose truth is known, to see whether the statistics say it.

``python -m headstart.statistics.simulations --help`` runs them; docs/statistics.md holds results.
"""
