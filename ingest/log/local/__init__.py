"""The log on this machine's disk: one appending process, any number of readers."""
