"""Why a process's consumer stands still, for those who ask whether the figures go on."""

from ingest.errors import LogPoisonedError

PAUSE_S_MIN = 5.0
PAUSE_S_MAX = 300.0


class Standstill:
    """`reason` is None while the consumer goes on. Consumers that follow each other share one."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._pause_s = PAUSE_S_MIN

    def begin(self, error: LogPoisonedError) -> float:
        """Note that it stands still, and give how long it does: longer each time, up to `PAUSE_S_MAX`."""
        self.reason = str(error)
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, PAUSE_S_MAX)
        return pause_s

    def end(self) -> None:
        """Note that it goes on: a batch was applied."""
        self.reason = None
        self._pause_s = PAUSE_S_MIN

    async def check(self) -> None:
        """Return while it goes on.

        Raises:
            LogPoisonedError: it stands still.
        """
        if self.reason is not None:
            raise LogPoisonedError(self.reason)
