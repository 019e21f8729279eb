"""The engine: what trials share is done once, and means the same as if each did it alone."""
