"""What a client can raise, by what the caller should do.

ClientError
+-- EventError          change the event: it was not taken
+-- BufferFullError     wait and send again: it was not taken
+-- ClientClosedError   open another client: it was not taken
+-- NotDeliveredError   events are not acknowledged yet; they are kept, and still tried while the client is open
+-- SpoolError          mend the disk or the folder; the event may or may not be delivered, sending again is harmless
"""

from collections.abc import Sequence


class ClientError(Exception):
    """The root of this package's errors."""


class EventError(ClientError, ValueError):
    """An event cannot be sent as it is; the message names the field, the value and the remedy."""


class BufferFullError(ClientError):
    """The buffer has no room and the client was told to raise rather than to wait."""


class ClientClosedError(ClientError):
    """The client was closed, or belongs to the process that this one was forked from."""


class NotDeliveredError(ClientError):
    """Events were not acknowledged in time, or the server refuses them all.

    `events` are they, as JSON, the oldest first. An event among them may have arrived: sending again is harmless.
    """

    def __init__(self, message: str, events: Sequence[bytes]) -> None:
        super().__init__(message)
        self.events = events


class SpoolError(ClientError):
    """The spool cannot be opened, read or written."""
