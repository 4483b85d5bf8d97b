import io
import json

import pytest

from ingest.csv_file import TEMPLATE, CsvFileError, Reject, Row, read_csv

HEADER = b"timestamp,event_type,customer_id,record/id,record/x\n"
START = b"2023-11-07T13:59:40.536Z,api_call,cus_1,"

DOCUMENTED = b"""timestamp,event_type,record/id,record/type,record/is_live,customer_id
"2023-11-07T13:59:40.536Z",api_call,1245,"paid",true,"cus_foXtwuyW7NsCH-"
"2023-11-07T13:59:40.536Z",api_call,1152,"to_pay",true,"cus_foXtwuyW7NsCH-"
"""


def read(content: bytes):
    return list(read_csv(io.BytesIO(content)))


def the_record(cells: bytes) -> bytes:
    """Give the record of one row as JSON text."""
    (row,) = read(HEADER + START + cells + b"\n")
    assert isinstance(row, Row), row
    return row.event.partition(b'"record":')[2][:-1]


def test_the_documented_example_is_read():
    """The file of the manual, and the template, are good."""
    first, second = read(DOCUMENTED)
    assert (first.line, second.line) == (2, 3)
    assert json.loads(first.event) == {
        "timestamp": "2023-11-07T13:59:40.536Z",
        "event_type": "api_call",
        "customer_id": "cus_foXtwuyW7NsCH-",
        "record": {"id": 1245, "type": "paid", "is_live": True},
    }
    assert all(isinstance(row, Row) for row in read(TEMPLATE))


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        (b"12", b"12"),
        (b"-0.50", b"-0.50"),
        (b"12345678901234567890.123456789012345678", b"12345678901234567890.123456789012345678"),
        (b"1.5E3", b"1.5E3"),
        (b'"7"', b"7"),
        (b"true", b"true"),
        (b"false", b"false"),
        (b"True", b'"True"'),
        (b"null", b'"null"'),
        (b"007", b'"007"'),
        (b"1.", b'"1."'),
        (b"+1", b'"+1"'),
        (b"NaN", b'"NaN"'),
        (b" 1", b'" 1"'),
        ("\u0667".encode(), '"\u0667"'.encode()),
        (b'"a ""b"", c"', b'"a \\"b\\", c"'),
        (b'"[1]"', b'"[1]"'),
        (b'"1\n2"', b'"1\\n2"'),
    ],
)
def test_a_cell_says_by_its_content_what_it_is(cell, written):
    """A number keeps its text; what only looks like one is text."""
    assert the_record(b"r1," + cell) == b'{"id":"r1","x":' + written + b"}"


def test_an_empty_cell_is_an_absent_property():
    """Quoted or not."""
    assert the_record(b"r1,") == the_record(b'r1,""') == b'{"id":"r1"}'


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        (b"485", b"485"),
        (b"4.5", b"4.5"),
        (b"12e4", b'"12e4"'),
        (b"1.50", b'"1.50"'),
        (b"9" * 30, b'"%s"' % (b"9" * 30)),
    ],
)
def test_an_id_stays_the_text_it_is(cell, written):
    """It is compared as text, so a number only where the plain form is that text."""
    assert the_record(cell + b",") == b'{"id":' + written + b"}"


def test_identifiers_are_text_and_epoch_milliseconds_a_number():
    """customer_id 17 is "17"."""
    (row,) = read(HEADER + b"1700000000000,true,17,r,\n")
    assert json.loads(row.event) == {
        "timestamp": 1_700_000_000_000,
        "event_type": "true",
        "customer_id": "17",
        "record": {"id": "r"},
    }


def test_lines_are_counted_as_in_the_file():
    """Quoted line breaks and empty lines count; a row is told by its first line."""
    many = START + b'r1,"a\nb\n\nc"\n\n'
    content = HEADER + many + START + b"r2,1\nbad,t,c,r3,2\n" + START + b"r4,3"
    rows = read(content)
    assert [(type(row), row.line) for row in rows] == [(Row, 2), (Row, 7), (Reject, 8), (Row, 9)]
    assert list(rows[2].path) == ["timestamp"]


def test_the_forms_that_spreadsheets_write_are_read():
    """A byte order mark, CRLF, spaces in the header, empty columns at the end, dots for slashes."""
    content = "\ufeffrecord.id, timestamp,event_type ,customer_id,record.größe,,\r\nr1,2024-01-15,t,c,1,,\r\n".encode()
    (row,) = read(content)
    assert json.loads(row.event)["record"] == {"id": "r1", "größe": 1}
    (reject,) = read(content + b"r2,2024-01-15,t,c,1,,lost\r\n")[1:]
    assert "no column name" in reject.message


@pytest.mark.parametrize(
    ("row", "path", "words"),
    [
        (b",api_call,cus_1,r1,1", ["timestamp"], "missing"),
        (b"2024-01-15,,cus_1,r1,1", ["event_type"], "missing"),
        (b"2024-01-15,t,,r1,1", ["customer_id"], "missing"),
        (b"2024-01-15,t,c,,1", ["record", "id"], "missing"),
        (b"1700000000,t,c,r1,1", ["timestamp"], "epoch seconds"),
        (b"2024-01-15,t,c,r1,1e400", ["record", "x"], "10^20"),
        (b"2024-01-15,t," + b"c" * 256 + b",r1,1", ["customer_id"], "255"),
        (b"2024-01-15,t,c,r1," + b"y" * 70_000, [], "65536"),
        (b"2024-01-15,t,c,r1", [], "4 cells"),
        (b"2024-01-15,t,c,r1,1,2", [], "6 cells"),
        (b'2024-01-15,t,c,r1,"a"b', [], "not CSV"),
    ],
)
def test_a_bad_row_is_told_and_the_next_one_read(row, path, words):
    """With its line, the path to the value and what is wrong."""
    reject, good = read(HEADER + row + b"\n" + START + b"r9,1\n")
    assert (reject.line, list(reject.path)) == (2, path)
    assert words in reject.message
    assert isinstance(good, Row)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (HEADER.replace(b",", b";"), "semicolons"),
        (HEADER.replace(b",", b"\t"), "tabs"),
        (b"timestamp,event_type,record/id\n", "lacks customer_id"),
        (b"timestamp,event_type,customer_id,id\n", "record/id"),
        (HEADER.replace(b"/x", b".id"), "twice"),
        (HEADER.replace(b"record/x", b"amount"), "record/amount"),
        (HEADER.replace(b"record/x", b"record"), "not known"),
        (HEADER.decode().encode("utf-16"), "UTF-16"),
        (HEADER.replace(b"x", b"\xe9"), "line 1 is not UTF-8"),
        (b"x" * 2_000_000, "more than"),
    ],
)
def test_a_bad_header_stops_at_once(content, words):
    """The message says what to change."""
    with pytest.raises(CsvFileError, match=words):
        read_csv(io.BytesIO(content))


@pytest.mark.parametrize(
    ("content", "words"),
    [(START + b"r2,\xff\n", "line 3 is not UTF-8"), (START + b'r2,"' + b"z,\n" * 100_000, "line 3 does not end")],
)
def test_a_file_that_breaks_off_keeps_what_came_before(content, words):
    """The rows before are given, then the error."""
    rows = read_csv(io.BytesIO(HEADER + START + b"r1,1\n" + content))
    assert next(rows).line == 2
    with pytest.raises(CsvFileError, match=words):
        list(rows)


def test_a_large_file_is_read_as_a_stream():
    """No more than a line is held."""
    lines = iter([HEADER, *(START + b"r%d,1\n" % number for number in range(1000))])

    class Endless(io.RawIOBase):
        read_lines = 0

        def readline(self, size=-1):  # noqa: ARG002
            self.read_lines += 1
            return next(lines, b"")

    file = Endless()
    rows = read_csv(file)
    next(rows)
    assert file.read_lines == 2
    assert sum(1 for _ in rows) == 999
