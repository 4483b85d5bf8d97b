"""The durable log: what was accepted, in the order it was accepted."""
