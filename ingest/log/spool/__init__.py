"""What was accepted while the log did not take it: see README.md."""
