"""A secret as text that may lie in a database: AES-256-GCM under a random key of its own, which a named key wraps.

    1.<id of the wrapping key>.<nonce and wrapped key>.<nonce and secret>        base64url, without padding

Both parts are bound to the place that the secret is kept for: copied to another account, mode or row it does not open.
A rotation wraps the secret's key anew and leaves the secret as it is. (AES-GCM as in NIST SP 800-38D: nonces are
random, of 96 bits, and no key encrypts anywhere near 2^32 times.)
"""

import base64
import binascii
import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from loaders.secrets.errors import SecretDamagedError
from loaders.secrets.keys import KEY_BYTES, Keyring
from metering.world import World

FORMAT = "1"
NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Place:
    """Where a secret belongs: a row of a world."""

    world: World
    row_id: str

    def bound(self, *more: str) -> bytes:
        """Give what is authenticated with the secret; no part can hold the separator."""
        parts = ("meterline secret", FORMAT, self.world.account_id, self.world.mode.value, self.row_id, *more)
        assert not any("\0" in part for part in parts)
        return "\0".join(parts).encode()


@dataclass(frozen=True, slots=True)
class _Sealed:
    key_id: str
    wrapped: bytes = field(repr=False)
    secret: bytes = field(repr=False)

    def text(self) -> str:
        return ".".join((FORMAT, self.key_id, _encode(self.wrapped), _encode(self.secret)))


def seal(secret: bytes, place: Place, keys: Keyring) -> str:
    """Encrypt a secret for its place.

    Raises:
        KeysError: there is no key to do it with.
    """
    newest = keys.newest()
    own = os.urandom(KEY_BYTES)
    wrapped = _encrypt(newest.key, own, place.bound("key", newest.id))
    return _Sealed(newest.id, wrapped, _encrypt(own, secret, place.bound("secret"))).text()


def unseal(text: str, place: Place, keys: Keyring) -> bytes:
    """Give the secret that was sealed for this place.

    Raises:
        KeyMissingError: the key that it was sealed with is not there.
        SecretDamagedError: it was changed, or sealed for another place.
    """
    sealed = _parse(text)
    return _decrypt(_own_key(sealed, place, keys), sealed.secret, place.bound("secret"))


def rewrap(text: str, place: Place, keys: Keyring) -> str:
    """Wrap the secret's own key with the newest key; what already is comes back as it is.

    Raises:
        KeyMissingError, SecretDamagedError: as `unseal`.
    """
    sealed, newest = _parse(text), keys.newest()
    if sealed.key_id == newest.id:
        return text
    own = _own_key(sealed, place, keys)
    _decrypt(own, sealed.secret, place.bound("secret"))  # What does not open is not made to look fresh.
    return _Sealed(newest.id, _encrypt(newest.key, own, place.bound("key", newest.id)), sealed.secret).text()


def key_id_of(text: str) -> str:
    """Name the key that a sealed secret needs.

    Raises:
        SecretDamagedError: the text is no sealed secret.
    """
    return _parse(text).key_id


def _own_key(sealed: _Sealed, place: Place, keys: Keyring) -> bytes:
    return _decrypt(keys.named(sealed.key_id).key, sealed.wrapped, place.bound("key", sealed.key_id))


def _encrypt(key: bytes, secret: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, secret, bound)


def _decrypt(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise SecretDamagedError(
            "a secret does not open: it was changed, its key is another of the same id, or it belongs to another "
            "connection; save the connection again with its password"
        ) from None


def _parse(text: str) -> _Sealed:
    try:
        form, key_id, wrapped, secret = text.split(".")
        sealed = _Sealed(key_id, _decode(wrapped), _decode(secret))
    except (binascii.Error, ValueError):
        form = ""
    if form != FORMAT:
        raise SecretDamagedError(
            "what is kept is no sealed secret that this release knows: save the connection again with its password"
        )
    return sealed


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
