"""What can go wrong where usage is kept and counted, by what the caller should do.

MeteringError
+-- StoreUnavailableError   wait and do it again: of a write the outcome is unknown, and repeating it is harmless
+-- QueryLimitError         ask for less: the question cost more than one question may
+-- StoreRefusedError       stop: a statement is wrong here, or rights or tables are missing there
+-- StoreSettingsError      stop: the store does not keep what we promise (durability, whole answers)
+-- StoreTooNewError        stop: a newer release has written here
"""


class MeteringError(Exception):
    """The root of this package's errors."""


class StoreUnavailableError(MeteringError):
    """The store did not answer, or could not do it now."""


class QueryLimitError(MeteringError):
    """A question ran into its limit of time, memory or size."""


class StoreRefusedError(MeteringError):
    """The store rejected a statement for what it says."""


class StoreSettingsError(MeteringError):
    """A table or a session lacks a setting that the promises rest on."""


class StoreTooNewError(MeteringError):
    """The store carries a migration that this release does not know."""
