"""What can go wrong below the HTTP layer, by what the caller should do.

MeteringError
+-- UnavailableError          wait and ask again; nothing is known to have changed
|   +-- StoreUnavailableError     the store did not answer
|   +-- RegistryUnavailableError  the registry did not answer, or was locked too long
+-- DataTooNewError           stop: the data was written by a newer release
+-- SettingsError             stop: a setting that the promise rests on is not as it must be
"""


class MeteringError(Exception):
    """The root of this package's errors."""


class UnavailableError(MeteringError):
    """A part that is needed does not answer now."""


class StoreUnavailableError(UnavailableError):
    """The store did not answer; a write may be stored in part or whole, and may be sent again."""


class RegistryUnavailableError(UnavailableError):
    """The registry did not answer; its transaction was rolled back."""


class DataTooNewError(MeteringError):
    """The data folder or database was written by a newer release than this one."""


class SettingsError(MeteringError):
    """A setting that durability or exactness rests on is not as it must be."""
