"""What can go wrong with keys and what they lock. No message holds a secret or a key.

SecretError              a person has to look
+-- KeysError            the keys that were given cannot be used, or none were
+-- KeyMissingError      a secret was locked with a key that is not among them
+-- SecretDamagedError   a secret does not open: it was changed, or is somebody else's
"""

from metering.errors import MeteringError


class SecretError(MeteringError):
    """The root of this package's errors."""


class KeysError(SecretError):
    """The keys cannot be used; the message says what to write where."""


class KeyMissingError(SecretError):
    """The key that opens a secret is not there; the message names it and the remedy."""


class SecretDamagedError(SecretError):
    """What is kept is not what was locked for this place."""
