"""Rows are cut out of MySQL's stream wherever it is cut itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.errors import QueryError, SourceUnavailableError
from loaders.sources.mysql_rows import PACKET_BYTES_MAX, RowCutter

END = b"\xfe\x00\x00\x02\x00"


def _packet(number, payload):
    return len(payload).to_bytes(3, "little") + bytes([number & 255]) + payload


def _value(value):
    if value is None:
        return b"\xfb"
    size = len(value)
    if size < 251:
        return bytes([size]) + value
    return (b"\xfc" + size.to_bytes(2, "little") if size < 65_536 else b"\xfd" + size.to_bytes(3, "little")) + value


def _stream(rows, start=5):
    packets = [_packet(start + at, b"".join(map(_value, row))) for at, row in enumerate(rows)]
    return b"".join([*packets, _packet(start + len(rows), END)])


VALUES = st.none() | st.binary(max_size=300) | st.sampled_from([b"x" * 250, b"x" * 251, b"x" * 65_535, b"x" * 65_536])


@given(st.lists(st.tuples(VALUES, VALUES), max_size=6), st.data())
def test_rows_come_whole_however_the_stream_is_cut(rows, data):
    """Each once, in order, and the mark of the end last."""
    stream = _stream(rows)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    cutter, found = RowCutter(2, 5), []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += cutter.cut(stream[start:stop])
    assert [tuple(row) for row in found] == rows
    assert cutter.last == END


def test_a_stream_without_its_end_has_no_last():
    """So the reader goes on reading, and raises when nothing more comes."""
    cutter = RowCutter(1, 5)
    assert len(cutter.cut(_stream([(b"a",)])[:-5])) == 1
    assert cutter.last is None


def test_a_packet_too_many_or_too_few_is_told():
    """A stream that lost a packet is no result."""
    rows = [(b"a",), (b"b",)]
    lost = _packet(5, _value(b"a")) + _packet(7, _value(b"b"))
    assert len(RowCutter(1, 5).cut(_stream(rows))) == 2
    with pytest.raises(SourceUnavailableError, match="order"):
        RowCutter(1, 5).cut(lost)
    with pytest.raises(SourceUnavailableError, match="no row"):
        RowCutter(1, 5).cut(_packet(5, _value(b"a") * 2))


def test_an_error_in_place_of_a_row_is_the_last():
    """For the reader to raise it."""
    cutter = RowCutter(1, 5)
    assert len(cutter.cut(_packet(5, _value(b"a")) + _packet(6, b"\xff\xb1\x07#70100stopped"))) == 1
    assert cutter.last.startswith(b"\xff")


def test_a_row_of_more_than_a_packet_is_refused_before_it_is_read():
    """By its header alone: nothing of it is kept."""
    with pytest.raises(QueryError, match="16 MiB"):
        RowCutter(1, 5).cut(PACKET_BYTES_MAX.to_bytes(3, "little") + b"\x05")
