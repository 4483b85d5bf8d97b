"""From the log to the store: each event counted once, under its latest version."""
