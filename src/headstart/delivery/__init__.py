"""The model to take away."""
