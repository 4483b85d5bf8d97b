"""What can go wrong on the way from a request to a stored version, by what the caller should do.

IngestError
+-- LogUnavailableError   wait and send again: the outcome is unknown, resending is harmless
|   +-- LogDeniedError    stop at start, else wait: brokers do not believe us, or we them
|   +-- LogHeldError      stop at start: another process appends to the folder
+-- LogOverloadedError    wait and send again: nothing was written
+-- LogGrownError         start anew: all of the log that was known is read, and there is more of it
+-- LogCorruptError       stop: durable bytes cannot be read, a person has to look
+-- LogMismatchError      stop: this log is not the one that the store was filled from
+-- LogTooNewError        stop: a newer release wrote this log, run that one
+-- LogPoisonedError      stand still: too much of the log cannot be understood, a person has to look
"""


class IngestError(Exception):
    """The root of this package's errors."""


class LogUnavailableError(IngestError):
    """An append is not known to be durable."""


class LogDeniedError(LogUnavailableError):
    """Passwords or certificates are not what they must be; where it lasts, a person has to look."""


class LogHeldError(LogUnavailableError):
    """Another process holds the folder's lock."""


class LogOverloadedError(IngestError):
    """An append was refused before anything was written."""


class LogGrownError(IngestError):
    """The log has partitions that were not there when reading began."""


class LogCorruptError(IngestError):
    """A durable message cannot be read."""


class LogMismatchError(IngestError):
    """The log and the store do not belong together, or the log lost its end."""


class LogTooNewError(IngestError):
    """A message has a format that only a newer release knows."""


class LogPoisonedError(IngestError):
    """Of what was read, too great a share had to become dead letters."""
