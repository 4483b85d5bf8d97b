"""The one clock of the running product."""

from datetime import UTC, datetime


def now() -> datetime:
    """Give the present moment."""
    return datetime.now(UTC)
