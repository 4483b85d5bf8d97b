"""What runs may cost whoever works on them."""

from dataclasses import dataclass

from loaders.met_ids import IDS_MAX


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Of one process, but for `of_connection_max`: that is of all of them together."""

    at_once_max: int = 2
    of_connection_max: int = 1
    """Runs over one connection at once: somebody else's database has other work too."""
    ids_max: int = IDS_MAX
    attempts: int = 5
    """How often a source that is away is tried within a run, from the beginning each time."""
    pause_s_min: float = 1.0
    pause_s_max: float = 60.0
