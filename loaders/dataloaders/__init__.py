"""Dataloaders: queries over an account's databases, when they run, and what each run came to."""
