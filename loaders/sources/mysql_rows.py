"""Cut rows out of the bytes of MySQL's text protocol: packets of lengths and values, as many as have come whole."""

from collections.abc import Sequence

from loaders.errors import QueryError, SourceUnavailableError

RawRow = Sequence[bytes | None]

PACKET_BYTES_MAX = 2**24 - 1
"""A packet of this size has a part that follows: a row of 16 MiB, which is refused."""
_HEADER_BYTES = 4
_END_BYTES_MAX = 9
_ERROR, _END, _NULL = 0xFF, 0xFE, 0xFB
_WIDTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}
"""How many bytes hold the length of a value, by the byte before it; shorter ones are their own length."""


class RowCutter:
    """Keeps what has come of a packet until the rest does."""

    def __init__(self, columns: int, number: int) -> None:
        self._columns = range(columns)
        self._number = number
        self._kept = b""
        self.last: bytes | None = None
        """The packet that ended the result, once it came: the mark of the end, or an error."""

    def cut(self, data: bytes) -> list[RawRow]:
        """Give the rows that are whole with these bytes.

        Raises:
            QueryError: a row is larger than a packet.
            SourceUnavailableError: what came is no row.
        """
        data = self._kept + data if self._kept else data
        rows: list[RawRow] = []
        at, end, number = 0, len(data), self._number
        while at + _HEADER_BYTES <= end:
            size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            if size == PACKET_BYTES_MAX:
                raise QueryError("a row has more than 16 MiB: leave long columns out, or shorten them")
            if data[at + 3] != number:
                raise SourceUnavailableError("MySQL sent packets out of their order: the connection is broken")
            stop = at + _HEADER_BYTES + size
            if stop > end:
                break
            number = (number + 1) & 0xFF
            at += _HEADER_BYTES
            if data[at] >= _END and (data[at] == _ERROR or size < _END_BYTES_MAX):
                self.last = data[at:stop]
                return rows
            try:
                rows.append(self._row(data, at, stop))
            except (IndexError, KeyError):
                raise SourceUnavailableError("MySQL sent what is no row: the connection is broken") from None
            at = stop
        self._kept, self._number = data[at:], number
        return rows

    def _row(self, data: bytes, at: int, stop: int) -> RawRow:
        row: list[bytes | None] = []
        for _ in self._columns:
            length = data[at]
            at += 1
            if length >= _NULL:
                if length == _NULL:
                    row.append(None)
                    continue
                width = _WIDTHS[length]
                length = int.from_bytes(data[at : at + width], "little")
                at += width
            row.append(data[at : at + length])
            at += length
        if at != stop:
            raise SourceUnavailableError("MySQL sent what is no row: the connection is broken")
        return row
