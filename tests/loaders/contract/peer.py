"""What the contract suite asks of a system that sources are tried against.

To plug in a system: a module `tests/loaders/contract/NAME_peer.py` with a class `Peer` as below, its name in
`PEERS` (`peers.py`), and what it cannot show in `EXEMPT` there, with the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, Self

from loaders.provider import Address


class Type(StrEnum):
    """What a column holds, for the peer to find its own type for: as wide and as exact as it has."""

    INTEGER = "integer"  # 64 bits
    DECIMAL = "decimal"  # 20 digits before the point, 9 after it
    FLOAT = "float"  # 64 bits
    TEXT = "text"
    BOOLEAN = "boolean"
    INSTANT = "instant"  # Aware, in UTC, to the microsecond.
    DATE = "date"


@dataclass(frozen=True)
class Where:
    """A condition: a column, `=` or `>`, and the parameter that it is compared with."""

    column: str
    operator: str
    parameter: str = "cursor"


class Peer(Protocol):
    """A running system with one account that may read. It is started once for all tests of the suite."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def address(self) -> Address:
        """Give the reader's address: its ping has nothing to warn of."""
        ...

    def wrong_password(self) -> Address:
        """Give the same with another password."""
        ...

    def privileged(self) -> Address:
        """Give the address of an account that may write."""
        ...

    def load(self, table: str, columns: Mapping[str, Type], rows: Sequence[Sequence[Any]]) -> None:
        """Put a table in the place of the one that was there. Rows hold int, Decimal, float, str, bool, aware
        datetime, date, and None, by column.
        """
        ...

    def query(self, table: str, columns: Sequence[str], where: Where | None = None) -> str:
        """Give a query for some columns, by their names in their casing, sorted by `id`."""
        ...

    def numbered(self, rows: int) -> str:
        """Give a query for `id` from 1 to `rows`, `customerId` (text), `timestamp` and `amount`."""
        ...

    def slow(self) -> str:
        """Give a reading query that takes minutes before its first row, and that the guard lets through."""
        ...

    def running(self) -> int:
        """Give how many of the reader's queries the server works on, or holds a result of."""
        ...

    def kill(self) -> None:
        """End the server, or cut it off: no more than what was sent arrives."""
        ...

    def start(self) -> None:
        """Let it answer again, with what it had."""
        ...
