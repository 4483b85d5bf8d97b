"""The keys that wrap the keys of secrets: `id:base64` each, the newest first.

The first one encrypts, all of them decrypt: so a new key is put before the old ones, everything is wrapped anew, and
the old ones may go. They come from the environment, or from a file that is read again when it changes, so that a
process that runs knows a new key before anything is wrapped with it.
"""

import base64
import binascii
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Protocol

from loaders.secrets.errors import KeyMissingError, KeysError

KEY_BYTES = 32
KEYS_MAX = 20
FILE_BYTES_MAX = 64 * 1024
MAKE_ONE = "`meterline secrets new-key` prints one"

_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True)
class SecretKey:
    """One key of 256 bits for AES-GCM, and the id that goes with what it wraps."""

    id: str
    key: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """Give it as it is written: to be shown to nobody but its owner."""
        return f"{self.id}:{base64.b64encode(self.key).decode()}"


class Keyring(Protocol):
    """The operator's keys, as they are now; safe to use from many threads."""

    def newest(self) -> SecretKey:
        """Give the key that encrypts.

        Raises:
            KeysError: there is none, or the keys cannot be read.
        """
        ...

    def named(self, key_id: str) -> SecretKey:
        """Give the key of this id.

        Raises:
            KeyMissingError: it is not there.
            KeysError: the keys cannot be read.
        """
        ...


def new_key() -> SecretKey:
    """Make a key; its id is as random as makes it differ from others."""
    return SecretKey(f"k{secrets.token_hex(4)}", secrets.token_bytes(KEY_BYTES))


def parse_keys(text: str, source: str) -> Sequence[SecretKey]:
    """Read keys, with white space or commas between them; `source` says where they were written.

    Raises:
        KeysError: one cannot be used. No message holds any of the text: it is as secret as the keys.
    """
    keys = [_parse(one, number, source) for number, one in enumerate(text.replace(",", " ").split(), 1)]
    if not keys:
        raise KeysError(f"{source} holds no key: write id:base64, {MAKE_ONE}")
    if len(keys) > KEYS_MAX:
        raise KeysError(f"{source} holds {len(keys)} keys, {KEYS_MAX} are the most: take out those that are not in use")
    if len({key.id for key in keys}) != len(keys):
        raise KeysError(f"{source} names two keys alike: each needs an id of its own")
    return keys


class GivenKeys:
    """Keys that do not change while the process runs."""

    def __init__(self, keys: Sequence[SecretKey], source: str) -> None:
        """`source` says where they were written."""
        self._newest = keys[0]
        self._by_id: Mapping[str, SecretKey] = {key.id: key for key in keys}
        self._source = source

    def newest(self) -> SecretKey:
        """Give the key that encrypts."""
        return self._newest

    def named(self, key_id: str) -> SecretKey:
        """Give the key of this id."""
        return _named(self._by_id, key_id, self._source)


class KeyFile:
    """Keys of a file, one a line; read again whenever the file is another."""

    def __init__(self, path: Path) -> None:
        """Nothing is read until a key is asked for."""
        self.path = path
        self._lock = Lock()
        self._mark: tuple[int, ...] = ()
        self._keys: Sequence[SecretKey] = ()

    def newest(self) -> SecretKey:
        """Give the key that encrypts."""
        return self.listed()[0]

    def named(self, key_id: str) -> SecretKey:
        """Give the key of this id."""
        return _named({key.id: key for key in self.listed()}, key_id, str(self.path))

    def listed(self) -> Sequence[SecretKey]:
        """Give all of them, the newest first.

        Raises:
            KeysError: the file cannot be read.
        """
        with self._lock:
            try:
                with self.path.open("rb") as file:
                    stat = os.fstat(file.fileno())
                    mark = (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size, stat.st_mode)
                    if mark != self._mark:
                        self._keys = parse_keys(_readable(file.read(FILE_BYTES_MAX + 1), self.path), str(self.path))
                        self._mark = mark
            except OSError as error:
                raise KeysError(
                    f"the file of keys {self.path} cannot be read ({error.strerror}): put it back, "
                    "or name another with METERLINE_SECRETS_KEY_FILE"
                ) from None
            return self._keys


class NoKeys:
    """No keys: nothing can be kept secret, and the message says what to set."""

    def __init__(self, remedy: str) -> None:
        """`remedy` ends the message."""
        self.remedy = remedy

    def newest(self) -> SecretKey:
        """Refuse."""
        raise KeysError(f"there is no key to keep secrets with: {self.remedy}")

    def named(self, key_id: str) -> SecretKey:
        """Refuse."""
        raise KeysError(f"the key {key_id!r} that a secret was kept with is not there: {self.remedy}")


def _named(keys: Mapping[str, SecretKey], key_id: str, source: str) -> SecretKey:
    try:
        return keys[key_id]
    except KeyError:
        raise KeyMissingError(key_id, source) from None


def _parse(text: str, number: int, source: str) -> SecretKey:
    key_id, separator, encoded = text.partition(":")
    if not separator or _ID.fullmatch(key_id) is None:
        raise KeysError(f"{source}: key {number} is not written as id:base64, {MAKE_ONE}")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise KeysError(f"{source}: key {number} ({key_id}) is no base64, {MAKE_ONE}") from None
    if len(key) != KEY_BYTES:
        raise KeysError(f"{source}: key {number} ({key_id}) has {len(key)} bytes, {KEY_BYTES} are needed, {MAKE_ONE}")
    if len(set(key)) == 1:
        raise KeysError(f"{source}: key {number} ({key_id}) is one byte over and over, {MAKE_ONE}")
    return SecretKey(key_id, key)


def _readable(raw: bytes, path: Path) -> str:
    if len(raw) > FILE_BYTES_MAX:
        raise KeysError(f"{path} is too large for a file of keys: it holds one id:base64 a line")
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise KeysError(f"{path} is no file of keys: it holds one id:base64 a line") from None
