"""What every source promises, whichever system it pulls from (`loaders/source.py`): one suite over all of them."""

import json
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from loaders.errors import (
    QueryCancelledError,
    QueryError,
    QueryTimeoutError,
    SourceDeniedError,
    SourceError,
    SourceUnavailableError,
)
from loaders.source import BadValue, Kind
from tests.loaders.contract import test_source_contract as here
from tests.loaders.contract.peer import Type, Where
from tests.loaders.contract.peers import EXEMPT, PEERS

pytestmark = pytest.mark.slow

NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
PATIENCE_S = 120
GROWTH_BYTES_MAX = 64 * 1024 * 1024
ROWS_MAX = 1000

TYPES = {
    "id": Type.TEXT,
    "whole": Type.INTEGER,
    "exact": Type.DECIMAL,
    "binary": Type.FLOAT,
    "words": Type.TEXT,
    "yes": Type.BOOLEAN,
    "at": Type.INSTANT,
    "day": Type.DATE,
}
ROWS = [
    ("a", 9223372036854775807, Decimal("12345678901234567890.123456789"), 0.1, "plain", True, NOON, date(2026, 1, 31)),
    (
        "b",
        -9223372036854775808,
        Decimal("-0.100000000"),
        1e20,
        "",
        False,
        NOON.replace(microsecond=0),
        date(1999, 12, 31),
    ),
    ("c", 0, Decimal(0), -2.5e-7, "'; DROP TABLE x; -- \\ \" % \t\n", None, NOON + timedelta(days=300), None),
    ("d", None, None, None, None, None, None, None),
]
WORDS = [
    "æøå",
    "日本語",
    "😀👩‍👩‍👧",
    "é vs é",
    "\u202eright to left",
    "\x01control",
    "null",
    "\\N",
    '{"a": 1}',
    "\u2028",
]
HOSTILE = [
    "' OR '1'='1",
    "'; DROP TABLE words; --",
    "\\' OR 1=1 #",
    "%s %(x)s $1 ?",
    "{{cursor}}",
    '"}]}',
    "\\",
    "''",
    "x'41'",
]


def drained(source, query, parameters=None, page_rows_max=ROWS_MAX):
    """Read a query to its end: its columns by name, and its rows."""
    columns, rows = [], []
    for page in source.pages(query, parameters or {}, page_rows_max=page_rows_max):
        columns = list(page.columns)
        assert 0 <= page.rows <= page_rows_max
        assert all(len(cells) == page.rows for cells in page.cells)
        rows += zip(*page.cells, strict=True)
    return {column.name: column for column in columns}, rows


def test_every_type_keeps_its_value(peer, opened):
    """Numbers of all kinds with all their digits, the rest as JSON has it, nulls as null."""
    peer.load("typed", TYPES, ROWS)
    columns, rows = drained(opened(), peer.query("typed", list(TYPES)))
    assert list(columns) == list(TYPES)
    for want, cells in zip(ROWS, rows, strict=True):
        got = dict(zip(TYPES, cells, strict=True))
        for (name, kind), value in zip(TYPES.items(), want, strict=True):
            assert _same(kind, value, got[name]), f"{name} of row {want[0]}: {value!r} came as {got[name]!r}"


def _same(kind, value, cell):
    if value is None:
        return cell == "null"
    if kind is Type.INSTANT:
        return cell == f'"{value.replace(tzinfo=None).isoformat(timespec="microseconds")}Z"'
    if kind is Type.DATE:
        return cell == f'"{value.isoformat()}"'
    if kind is Type.DECIMAL:
        return Decimal(cell) == value
    return cell == str(value) if kind is Type.INTEGER else json.loads(cell) == value


def test_columns_say_what_they_compare_by(peer, opened):
    """The kinds that a cursor may have."""
    peer.load("typed", TYPES, ROWS)
    columns, _ = drained(opened(), peer.query("typed", list(TYPES)))
    kinds = {name: columns[name].kind for name in ("id", "whole", "exact", "at")}
    assert kinds == {"id": Kind.TEXT, "whole": Kind.NUMBER, "exact": Kind.NUMBER, "at": Kind.TIMESTAMP}
    assert all(column.type for column in columns.values())


def test_all_of_unicode_comes_through(peer, opened):
    """Text is what it was, whatever script, mark or control character it holds."""
    peer.load("words", {"id": Type.TEXT, "words": Type.TEXT}, [(f"{n:03}", words) for n, words in enumerate(WORDS)])
    _, rows = drained(opened(), peer.query("words", ["id", "words"]))
    assert [json.loads(cell) for _, cell in rows] == WORDS


def test_parameters_are_values_and_nothing_else(peer, opened):
    """Text that would end a string or name another parameter finds the row that holds it, and no other."""
    peer.load("words", {"id": Type.TEXT, "words": Type.TEXT}, [(f"{n:03}", words) for n, words in enumerate(HOSTILE)])
    query = peer.query("words", ["id", "words"], Where("words", "="))
    source = opened()
    for n, words in enumerate(HOSTILE):
        _, rows = drained(source, query, {"cursor": words, "last_run_at": NOON})
        assert [json.loads(cell) for cell, _ in rows] == [f"{n:03}"]


@pytest.mark.parametrize(
    ("column", "parameter", "value"),
    [("whole", "cursor", 1), ("exact", "cursor", Decimal("1.5")), ("at", "last_run_at", NOON), ("id", "cursor", "b")],
)
def test_a_parameter_of_each_kind_compares_as_its_column_does(peer, opened, column, parameter, value):
    """Numbers as numbers, instants as instants."""
    rows = [
        ("a", 1, Decimal("1.5"), NOON),
        ("b", 1, Decimal("1.500000000"), NOON - timedelta(microseconds=1)),
        ("c", 10, Decimal(10), NOON + timedelta(microseconds=1)),
    ]
    peer.load("compared", {name: TYPES[name] for name in ("id", "whole", "exact", "at")}, rows)
    _, found = drained(opened(), peer.query("compared", ["id"], Where(column, ">", parameter)), {parameter: value})
    assert [json.loads(cell) for (cell,) in found] == ["c"]


def test_an_empty_result_tells_its_columns(peer, opened):
    """One page without a row: so that a loader can be previewed before there is anything."""
    peer.load("typed", TYPES, [])
    pages = list(opened().pages(peer.query("typed", ["id", "at"]), {}, page_rows_max=ROWS_MAX))
    assert [[column.name for column in page.columns] for page in pages] == [["id", "at"]]
    assert [page.rows for page in pages] == [0]


def test_many_rows_come_once_each_and_in_order(peer, opened):
    """Pages join without a seam."""
    query = peer.numbered(25_000)
    ids = [json.loads(cells[0]) for cells in drained(opened(), query, page_rows_max=1_000)[1]]
    assert [int(one) for one in ids] == list(range(1, 25_001))


@pytest.mark.timeout(900)
def test_a_million_rows_take_no_more_memory_than_ten_thousand(peer):
    """What the process holds at most grows by some pages, and not with the rows."""
    address = peer.address()
    asked = {
        "provider": address.provider,
        "url": address.url,
        "credentials": dict(address.credentials),
        "queries": [peer.numbered(10_000), peer.numbered(1_000_000)],
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.loaders.contract.drain"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (few, before), (many, after) = json.loads(done.stdout)
    assert (few, many) == (10_000, 1_000_000)
    assert after - before < GROWTH_BYTES_MAX


def test_a_cancelled_query_says_so_and_the_source_can_be_used_again(peer, opened):
    """The thread that waits is let go; so is the server."""
    source, raised = opened(), []

    def wait():
        try:
            drained(source, peer.slow())
        except SourceError as error:
            raised.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    deadline = time.monotonic() + PATIENCE_S
    while waiting.is_alive() and time.monotonic() < deadline:
        source.cancel()
        waiting.join(0.2)
    assert [type(error) for error in raised] == [QueryCancelledError]
    assert len(drained(source, peer.numbered(10))[1]) == 10


def test_a_cancel_when_nothing_runs_harms_nothing(peer, opened):
    """Before a query and after one."""
    source = opened()
    source.cancel()
    assert len(drained(source, peer.numbered(10))[1]) == 10
    source.cancel()
    assert len(drained(source, peer.numbered(10))[1]) == 10


def test_closing_the_iterator_early_ends_the_query(peer, opened):
    """Another query can be asked right away."""
    source = opened()
    pages = source.pages(peer.numbered(1_000_000), {}, page_rows_max=ROWS_MAX)
    assert next(pages).rows > 0
    pages.close()
    assert len(drained(source, peer.numbered(10))[1]) == 10


def test_closing_the_iterator_early_ends_the_query_at_the_server(peer, opened):
    """It works for nobody no longer."""
    source = opened()
    pages = source.pages(peer.numbered(1_000_000), {}, page_rows_max=ROWS_MAX)
    next(pages)
    pages.close()
    _eventually(lambda: peer.running() == 0)


def test_closing_the_source_ends_the_query_at_the_server(peer, opened):
    """In the middle of a result; and to close it again harms nothing."""
    source = opened()
    pages = source.pages(peer.numbered(1_000_000), {}, page_rows_max=ROWS_MAX)
    next(pages)
    source.close()
    source.close()
    _eventually(lambda: peer.running() == 0)


def _eventually(holds):
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_killed_in_the_middle_is_an_error_and_never_an_end(peer, opened):
    """What was read before it stays a part: the iterator raises."""
    source = opened()
    pages = source.pages(peer.numbered(1_000_000), {}, page_rows_max=ROWS_MAX)
    rows = [next(pages).rows]
    peer.kill()
    try:
        with pytest.raises(SourceUnavailableError):
            rows.extend(page.rows for page in pages)
    finally:
        peer.start()
    assert len(drained(opened(), peer.numbered(10))[1]) == 10


def test_a_server_that_is_away_is_unavailable(peer, opened):
    """To the ping and to a query."""
    peer.kill()
    try:
        for ask in (lambda: opened(connect_s_max=5).ping(), lambda: drained(opened(connect_s_max=5), peer.numbered(1))):
            with pytest.raises(SourceUnavailableError):
                ask()
    finally:
        peer.start()


def test_a_wrong_password_is_denied_and_told_without_it(peer, opened):
    """At the ping, before anything is saved."""
    address = peer.wrong_password()
    with pytest.raises(SourceDeniedError) as denied:
        opened(address).ping()
    assert "wr0ng-passw0rd" not in f"{denied.value!r} {denied.value.__cause__!r}"


def test_a_missing_column_is_told_by_its_name(peer, opened):
    """In the database's own words."""
    peer.load("typed", TYPES, ROWS)
    with pytest.raises(QueryError, match="no_such_column") as refused:
        drained(opened(), peer.query("typed", ["id", "no_such_column"]))
    assert not isinstance(refused.value, QueryTimeoutError | QueryCancelledError)


def test_a_query_that_is_not_one_is_refused(peer, opened):
    """And the source can be used afterwards."""
    source = opened()
    with pytest.raises(QueryError):
        drained(source, "THIS is no query")
    assert len(drained(source, peer.numbered(10))[1]) == 10


def test_a_slow_query_meets_its_limit(peer, opened):
    """It is ended by the server or by us, and told apart from other faults."""
    source = opened(statement_s_max=2.0)
    with pytest.raises(QueryTimeoutError):
        drained(source, peer.slow())
    _eventually(lambda: peer.running() == 0)
    assert len(drained(source, peer.numbered(10))[1]) == 10


def test_a_changed_schema_is_seen_by_the_next_run(peer, opened):
    """A column more, and one of another type, on the same connection."""
    source = opened()
    peer.load("changing", {"id": Type.TEXT, "value": Type.INTEGER}, [("a", 1)])
    before = drained(source, peer.query("changing", ["id", "value"]))
    peer.load("changing", {"id": Type.TEXT, "value": Type.TEXT, "more": Type.TEXT}, [("a", "one", "x")])
    after = drained(source, peer.query("changing", ["id", "value", "more"]))
    assert before[1] == [('"a"', "1")]
    assert after[1] == [('"a"', '"one"', '"x"')]
    assert before[0]["value"] != after[0]["value"]


def test_a_value_too_long_for_an_event_is_a_fault_of_its_row(peer, opened):
    """The other rows come; the fault says how long it is and what is allowed."""
    peer.load("long", {"id": Type.TEXT, "words": Type.TEXT}, [("a", "x"), ("b", "y" * 5000), ("c", "z")])
    _, rows = drained(opened(value_bytes_max=1000), peer.query("long", ["id", "words"]))
    assert [cell for _, cell in rows if isinstance(cell, str)] == ['"x"', '"z"']
    (fault,) = [cell for _, cell in rows if isinstance(cell, BadValue)]
    assert "1000" in fault.message


def test_pages_end_early_when_they_grow(peer, opened):
    """So that long rows need no more memory than short ones."""
    peer.load("long", {"id": Type.TEXT, "words": Type.TEXT}, [(f"{n:04}", "y" * 10_000) for n in range(500)])
    source = opened(page_bytes_max=200_000)
    pages = list(source.pages(peer.query("long", ["id", "words"]), {}, page_rows_max=500))
    assert sum(page.rows for page in pages) == 500
    assert len(pages) >= 5


def test_a_reader_is_not_warned_of_and_a_writer_is(peer, opened):
    """The warning says what to do."""
    assert list(opened().ping()) == []
    assert any("read" in warning for warning in opened(peer.privileged()).ping())


def test_the_clock_is_aware(peer, opened):
    """And near ours, on one machine."""
    assert abs(opened(peer.address()).now() - datetime.now(UTC)) < timedelta(seconds=PATIENCE_S)


def test_every_exemption_names_a_test_and_has_a_reason():
    """None is left over."""
    for (name, test), reason in EXEMPT.items():
        assert name in PEERS
        assert hasattr(here, test)
        assert reason
