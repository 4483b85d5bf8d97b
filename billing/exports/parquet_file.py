"""Write Parquet row group by row group: numbers as decimals of 18 places, instants in UTC, never a float."""

import io
from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

from billing.errors import AmountTooLargeError
from billing.exports.columns import Cell, Column, Row, Type
from billing.money import MONEY
from metering.decimals import DECIMALS_MAX

CONTENT_TYPE = "application/vnd.apache.parquet"

_DIGITS = 38
_NUMBER_MAX = Decimal(10) ** (_DIGITS - DECIMALS_MAX)
_LAST = Decimal(1).scaleb(-DECIMALS_MAX)
_TYPES = {
    Type.TEXT: pa.string(),
    Type.INSTANT: pa.timestamp("us", tz="UTC"),
    Type.WHOLE: pa.int64(),
    Type.NUMBER: pa.decimal128(_DIGITS, DECIMALS_MAX),
    Type.BOOLEAN: pa.bool_(),
}


class ParquetFile:
    """A file of some columns; what is given back are its next bytes."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._schema = pa.schema([(column.name, _TYPES[column.type]) for column in columns])
        self._sink = _Taken()
        self._writer = pq.ParquetWriter(self._sink, self._schema, compression="zstd")

    def head(self) -> bytes:
        """Give the first bytes."""
        return self._sink.take()

    def rows(self, rows: Sequence[Row]) -> bytes:
        """Give a row group.

        Raises:
            AmountTooLargeError: a number has more digits before its point than a Parquet decimal of 18 places.
        """
        arrays = [
            pa.array([_kept(column, column.cell(row)) for row in rows], field.type)
            for column, field in zip(self._columns, self._schema, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=len(rows))
        return self._sink.take()

    def end(self) -> bytes:
        """Give the footer, without which nobody reads the file: so one that was cut off is not taken for whole."""
        self._writer.close()
        return self._sink.take()


class _Taken(io.RawIOBase):
    """A sink whose bytes are taken away as they come."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, part: object, /) -> int:
        """Keep some bytes until they are taken."""
        kept = bytes(part)  # type: ignore[call-overload]
        self._parts.append(kept)
        return len(kept)

    def take(self) -> bytes:
        """Give what was written since the last call."""
        taken, self._parts = b"".join(self._parts), []
        return taken


def _kept(column: Column, cell: Cell) -> Cell:
    if not isinstance(cell, Decimal):
        return cell
    if abs(cell) >= _NUMBER_MAX:
        raise AmountTooLargeError(f"{column.name} is beyond 10^{_DIGITS - DECIMALS_MAX}: export it as CSV")
    return MONEY.quantize(cell, _LAST)
