"""What the types of MariaDB become, from the server itself; and the one that MySQL alone has, from its description."""

import contextlib
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymysql.constants import FIELD_TYPE

from loaders.errors import QueryError
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.provider import Address, Provider
from loaders.source import BadValue, Kind
from loaders.sources.mysql_types import Field, converter

pytestmark = pytest.mark.slow

KEPT = [
    ("TINYINT", "-128", "-128", "tinyint", Kind.NUMBER),
    ("TINYINT(1)", "1", "true", "tinyint(1)", Kind.OTHER),
    ("BOOLEAN", "FALSE", "false", "tinyint(1)", Kind.OTHER),
    ("TINYINT UNSIGNED", "255", "255", "tinyint unsigned", Kind.NUMBER),
    ("SMALLINT", "-32768", "-32768", "smallint", Kind.NUMBER),
    ("MEDIUMINT", "8388607", "8388607", "mediumint", Kind.NUMBER),
    ("INT(5) ZEROFILL", "42", "42", "int unsigned", Kind.NUMBER),
    ("INT(5) ZEROFILL", "0", "0", "int unsigned", Kind.NUMBER),
    ("BIGINT UNSIGNED", "18446744073709551615", "18446744073709551615", "bigint unsigned", Kind.NUMBER),
    ("DECIMAL(9, 4)", "-1.5", "-1.5000", "decimal", Kind.NUMBER),
    ("DECIMAL(9, 2) ZEROFILL", "0.5", "0.50", "decimal unsigned", Kind.NUMBER),
    (
        "DECIMAL(65, 30)",
        "12345678901234567890123456789012345.123456789012345678901234567890",
        "12345678901234567890123456789012345.123456789012345678901234567890",
        "decimal",
        Kind.NUMBER,
    ),
    ("FLOAT", "0.1", "0.1", "float", Kind.NUMBER),
    ("DOUBLE", "0.1e0 + 0.2e0", "0.30000000000000004", "double", Kind.NUMBER),
    ("DOUBLE", "-1e300", "-1e300", "double", Kind.NUMBER),
    ("YEAR", "2026", "2026", "year unsigned", Kind.NUMBER),
    ("YEAR", "0", "0", "year unsigned", Kind.NUMBER),
    ("BIT(12)", "b'100000000001'", "2049", "bit", Kind.OTHER),
    ("VARCHAR(20)", "'æ \" \\\\ /'", '"æ \\" \\\\ /"', "text", Kind.TEXT),
    ("TEXT", "'😀\\0\\n'", '"😀\\u0000\\n"', "text", Kind.TEXT),
    ("CHAR(4) CHARACTER SET latin1", "'é'", '"é"', "text", Kind.TEXT),
    ("ENUM('sad', 'happy')", "'happy'", '"happy"', "enum", Kind.OTHER),
    ("SET('a', 'b')", "'a,b'", '"a,b"', "set", Kind.OTHER),
    ("DATETIME", "'2026-01-31 12:00:00'", '"2026-01-31T12:00:00.000000"', "datetime", Kind.TIMESTAMP),
    ("DATETIME(3)", "'2026-01-31 12:00:00.5'", '"2026-01-31T12:00:00.500000"', "datetime", Kind.TIMESTAMP),
    ("TIMESTAMP(6)", "'2026-01-31 12:00:00.000001'", '"2026-01-31T12:00:00.000001Z"', "timestamp", Kind.TIMESTAMP),
    ("DATE", "'2026-01-31'", '"2026-01-31"', "date", Kind.TEXT),
    ("TIME(1)", "'-838:59:58.9'", '"-838:59:58.9"', "time", Kind.OTHER),
    ("JSON", "'{\"a\": 1}'", '"{\\"a\\": 1}"', "text", Kind.TEXT),
    ("UUID", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"', "text", Kind.TEXT),
    ("INT NULL", "NULL", "null", "int", Kind.NUMBER),
    ("TEXT NULL", "NULL", "null", "text", Kind.TEXT),
]
FAULTS = [
    ("TINYINT(1)", "5", "5 in a tinyint(1)"),
    ("DATETIME", "'0000-00-00 00:00:00'", "no calendar"),
    ("DATETIME", "'2026-00-00 00:00:00'", "no calendar"),
    ("TIMESTAMP", "'0000-00-00 00:00:00'", "no calendar"),
    ("DATE", "'2026-01-00'", "no calendar"),
    ("BLOB", "x'00ff'", "HEX("),
    ("VARBINARY(5)", "'a'", "HEX("),
    ("POINT", "POINT(1, 2)", "HEX("),
]


@pytest.fixture(scope="module")
def database(mariadb):
    return mariadb.database()


@pytest.fixture(scope="module")
def source(mariadb, database):
    address = Address(Provider.MYSQL, mariadb.url(database))
    with contextlib.closing(open_source(address, HostPolicy(), SourceLimits())) as opened:
        yield opened


def _filled(mariadb, database, table, cases):
    """Make a table with a column for each case, and one row."""
    columns = ", ".join(f"c{n} {kind}" for n, (kind, *_) in enumerate(cases))
    values = ", ".join(value for _, value, *_ in cases)
    with mariadb.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = '', time_zone = '+00:00'")
        cursor.execute(f"CREATE TABLE {table} ({columns})")
        cursor.execute(f"INSERT INTO {table} VALUES ({values})")


def test_values_keep_what_they_are(mariadb, database, source):
    """Each with its type's name and what it compares by."""
    _filled(mariadb, database, "kept", KEPT)
    (page,) = source.pages("SELECT * FROM kept", {}, page_rows_max=10)
    told = [(cells[0], one.type, one.kind) for cells, one in zip(page.cells, page.columns, strict=True)]
    assert told == [tuple(one[2:]) for one in KEPT]


def test_what_has_no_form_is_a_fault_that_says_why(mariadb, database, source):
    """With the remedy."""
    _filled(mariadb, database, "faults", FAULTS)
    (page,) = source.pages("SELECT * FROM faults", {}, page_rows_max=10)
    for (kind, value, words), (cell,) in zip(FAULTS, page.cells, strict=True):
        assert isinstance(cell, BadValue), (kind, value)
        assert words in cell.message


def test_json_of_mysql_is_one_level_deep():
    """MySQL has a type for it, MariaDB keeps it as text."""
    convert = converter(Field("meta", FIELD_TYPE.JSON, 0, 63, 0), 1000)
    cells = convert([b"1.50", None, '["é", 2]'.encode(), b'{"a": 1}', b'"x"'])
    assert cells[:3] == ["1.50", "null", '["é",2]']
    assert isinstance(cells[3], BadValue)
    assert cells[4] == '"x"'


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_as_it_was_bound(source, text):
    """As a parameter, and as a cell."""
    (page,) = source.pages("SELECT {{cursor}}, {{ cursor }} = {{cursor}}", {"cursor": text}, page_rows_max=1)
    assert [json.loads(cell) for (cell,) in page.cells] == [text, 1]


@pytest.mark.parametrize(
    ("query", "value", "cell"),
    [
        ("SELECT 1 - {{cursor}}", -5, "6"),
        ("SELECT -{{cursor}}", -5, "5"),
        ("SELECT {{cursor}} * 2", Decimal("-0.05"), "-0.10"),
        ("SELECT {{cursor}} + 0", Decimal("1E+3"), "1000"),
        ("SELECT {{last_run_at}}", datetime(2026, 1, 1, tzinfo=UTC), '"2026-01-01T00:00:00.000000"'),
        (
            "SELECT {{last_run_at}} - INTERVAL 1 HOUR",
            datetime(2026, 1, 1, 1, tzinfo=UTC),
            '"2026-01-01T00:00:00.000000"',
        ),
        ("SELECT CONCAT('a%s', {{cursor}}, ' ?')", "x", '"a%sx ?"'),
        ("SELECT 1 LIMIT {{cursor}}", 1, "1"),
    ],
)
def test_parameters_are_values_of_their_type(source, query, value, cell):
    """Numbers, text and instants."""
    (page,) = source.pages(query, {"cursor": value, "last_run_at": value}, page_rows_max=1)
    assert page.cells[0] == [cell]


def test_the_servers_own_quoting_does_not_matter(mariadb, database):
    """A server whose strings have other rules is told those that queries are checked by."""
    mariadb.run(
        "SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'", "SET GLOBAL sql_select_limit = 2"
    )
    try:
        source = open_source(Address(Provider.MYSQL, mariadb.url(database)), HostPolicy(), SourceLimits())
        query = "SELECT \"it's\", 'a\\'b' || {{cursor}}, COUNT(*) FROM (SELECT * FROM seq_1_to_10) AS q"
        with contextlib.closing(source):
            (page,) = source.pages(query, {"cursor": "\\' x"}, page_rows_max=10)
            (all_of_it,) = source.pages("SELECT seq FROM seq_1_to_10", {}, page_rows_max=10)
        assert [json.loads(cell) for (cell,) in page.cells] == ["it's", "a'b\\' x", 10]
        assert all_of_it.rows == 10
    finally:
        mariadb.run("SET GLOBAL sql_mode = DEFAULT", "SET GLOBAL sql_select_limit = DEFAULT")


def test_a_row_larger_than_a_packet_is_refused(source):
    """No usage has 16 MiB; the source can be used afterwards."""
    with pytest.raises(QueryError, match="16 MiB"):
        list(source.pages("SELECT REPEAT('x', 17000000)", {}, page_rows_max=10))
    (page,) = source.pages("SELECT 1", {}, page_rows_max=10)
    assert page.cells == [["1"]]


def test_values_of_every_length_are_cut_where_they_end(source):
    """The lengths at which their form changes."""
    query = " UNION ALL ".join(
        f"SELECT seq, REPEAT('x', seq), seq FROM seq_{sizes}" for sizes in ("249_to_253", "65534_to_65537")
    )
    (page,) = source.pages(query, {}, page_rows_max=100)
    lengths = [len(cell) - 2 if isinstance(cell, str) else 65_537 for cell in page.cells[1]]
    assert lengths == [int(cell) for cell in page.cells[0]]


def test_an_error_after_some_rows_is_raised(source):
    """The database's own words, never an end."""
    query = "SELECT CASE WHEN seq < 50000 THEN 1 ELSE (SELECT 1 UNION SELECT 2) END FROM seq_1_to_60000"
    with pytest.raises(QueryError, match="more than 1 row"):
        list(source.pages(query, {}, page_rows_max=1000))
