"""Strategies: each makes a plan, a tuple of phases, for a network and a task."""
