"""Stacked fits: trials whose networks and phases agree are trained together."""
