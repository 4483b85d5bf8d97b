"""Derive the store again from the log and its archive, prove that it is the same, and put it in the other's place."""
