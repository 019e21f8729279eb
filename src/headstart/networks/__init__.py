"""Networks as ordered layer groups with a head, and the weights they start from."""
