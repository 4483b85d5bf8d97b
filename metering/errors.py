"""What can go wrong below the HTTP layer, by what the caller should do.

MeteringError
+-- UnavailableError          wait and do it again; repeating is harmless
|   +-- StoreUnavailableError     the store did not answer; of a write the outcome is unknown
|   +-- RegistryUnavailableError  the registry did not answer, or was locked too long; nothing changed, unless the
|                                 message says that a commit was cut off
+-- QueryLimitError           ask for less: the question cost more than one question may
+-- StoreRefusedError         stop: a statement is wrong here, or rights or tables are missing there
+-- SettingsError             stop: what durability or exactness rests on is not as it must be
|   +-- StoreSettingsError
|   +-- RegistrySettingsError
+-- DataTooNewError           stop: a newer release has written here
    +-- StoreTooNewError
"""


class MeteringError(Exception):
    """The root of this package's errors."""


class UnavailableError(MeteringError):
    """A part that is needed does not answer now."""

    @property
    def public(self) -> str:
        """Give what a client may be told."""
        return str(self)


class StoreUnavailableError(UnavailableError):
    """The store did not answer, or could not do it now; a write may be stored in part or whole."""


class RegistryUnavailableError(UnavailableError):
    """The registry did not answer; its transaction was rolled back, unless the message says otherwise."""

    @property
    def public(self) -> str:
        """Leave out the reason: it may name servers and users."""
        return str(self).partition(": ")[0]


class QueryLimitError(MeteringError):
    """A question ran into its limit of time, memory or size."""


class StoreRefusedError(MeteringError):
    """The store rejected a statement for what it says."""


class SettingsError(MeteringError):
    """A setting that durability or exactness rests on is not as it must be."""


class StoreSettingsError(SettingsError):
    """A table or a session lacks a setting that the promises rest on."""


class RegistrySettingsError(SettingsError):
    """The registry's server, or its user's rights there, are not as they must be."""


class DataTooNewError(MeteringError):
    """The data were written by a newer release than this one."""


class StoreTooNewError(DataTooNewError):
    """The store carries a migration that this release does not know."""
