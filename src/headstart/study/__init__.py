"""Studies: what was asked, what was recorded, and running it."""
