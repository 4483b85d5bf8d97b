"""Why a run ends before its end, besides what its source says.

RunError
+-- RunLostError       it is not ours any more: write nothing, another works on it
+-- RunCancelledError  somebody wants it to end; the message says who
"""


class RunError(Exception):
    """The root of this package's errors."""


class RunLostError(RunError):
    """The run is another's, is there no more, or could not be held for so long that it may be another's."""


class RunCancelledError(RunError):
    """The dataloader was paused."""
