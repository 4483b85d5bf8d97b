"""What one source may cost, whatever a user's query asks for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """Seconds and bytes. `page_bytes_max`: of a page as JSON text, approximately; a page ends early for it."""

    connect_s_max: float = 10.0
    statement_s_max: float = 600.0
    idle_s_max: float = 60.0
    """How long the source may say nothing in the middle of a result."""
    page_bytes_max: int = 8 * 1024 * 1024
    value_bytes_max: int = 64 * 1024
    """A longer value is a fault of its row: an event has no room for it."""
