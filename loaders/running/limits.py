"""What runs may cost whoever works on them."""

from dataclasses import dataclass

ROWS_MAX = 50_000_000
"""Of one run: 650 MB of memory, and some gigabytes of file."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Of one process, but for `of_connection_max`: that is of all of them together."""

    at_once_max: int = 2
    of_connection_max: int = 1
    """Runs over one connection at once: somebody else's database has other work too."""
    rows_max: int = ROWS_MAX
    """Of one run: what it costs in memory, and in the log."""
    attempts: int = 5
    """How often a source that is away is tried within a run, from the beginning each time."""
    pause_s_min: float = 1.0
    pause_s_max: float = 60.0
