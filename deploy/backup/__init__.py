"""Copy an embedded installation while it runs, and make one again from the copy."""
