"""Paired comparisons and the sentences they allow."""
