"""What an operator sets of dataloaders; read by `deploy.settings`."""

from dataclasses import dataclass

from loaders.running.limits import ROWS_MAX, RunLimits


@dataclass(frozen=True, slots=True)
class LoaderSettings:
    """What runs may cost. `folder` is on a disk; `on`: whether the all-in-one runs any."""

    on: bool = True
    at_once_max: int = 2
    of_connection_max: int = 1
    statement_s_max: int = 3600
    rows_max: int = ROWS_MAX
    folder: str = ""

    def limits(self) -> RunLimits:
        """Give the limits of one process."""
        return RunLimits(at_once_max=self.at_once_max, of_connection_max=self.of_connection_max, rows_max=self.rows_max)
