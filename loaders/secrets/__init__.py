"""Secrets at rest: each under a key of its own, which a key of the operator's wraps."""
