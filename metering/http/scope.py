"""What a key may do."""

from enum import StrEnum


class Scope(StrEnum):
    """`admin` holds all the others. Session cookies of the pages carry the scopes of the key that signed in."""

    INGEST = "ingest"
    """Send, import and delete events."""
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


def allows(held: frozenset[Scope], needed: Scope) -> bool:
    """Tell whether a key with these scopes may do what needs that one."""
    return needed in held or Scope.ADMIN in held
