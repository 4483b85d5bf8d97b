"""Runs of dataloaders: what is due is begun, once, wherever; rows go into the log; the cursor is saved at the end."""
