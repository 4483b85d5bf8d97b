"""Uploaded files of events: stored first, then sent through the log in the background, with progress and rejects."""
