"""What can go wrong with keys and what they lock. No message holds a secret or a key.

SecretError              a person has to look
+-- KeysError            the keys that were given cannot be used, or none were
+-- KeyMissingError      a secret was locked with a key that is not among them
+-- SecretDamagedError   a secret does not open: it was changed, or is somebody else's
"""

from metering.errors import MeteringError


class SecretError(MeteringError):
    """The root of this package's errors."""

    @property
    def public(self) -> str:
        """Give what a client may be told: where keys lie is the operator's to know."""
        return str(self)


class KeysError(SecretError):
    """The keys cannot be used; the message says what to write where."""

    @property
    def public(self) -> str:
        """Leave out the reason: it may name files."""
        return "passwords cannot be kept here now: whoever operates this has to look at METERLINE_SECRETS_KEY"


class KeyMissingError(SecretError):
    """The key that opens a secret is not there; the message names it and the remedy."""

    def __init__(self, key_id: str, source: str) -> None:
        """`source` says where it was looked for."""
        super().__init__(
            f"a secret was kept with the key {key_id!r}, which is not in {source}: put it back there, "
            "or save the connection again with its password"
        )
        self.key_id = key_id

    @property
    def public(self) -> str:
        """Leave out where it was looked for."""
        return (
            f"its password was kept with the key {self.key_id!r}, which is not here any more: save the connection "
            "again with its password, or have whoever operates this put the key back"
        )


class SecretDamagedError(SecretError):
    """What is kept is not what was locked for this place."""
