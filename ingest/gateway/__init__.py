"""The processes that share the public address: they take events in, and pass everything else on to the core."""
