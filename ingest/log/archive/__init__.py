"""Segments of the local log that are applied: compressed, checked, and as readable as before."""
