"""What PostgreSQL's types become, from the server itself."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loaders.errors import QueryError
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.provider import Address, Provider
from loaders.source import BadValue, Kind

pytestmark = pytest.mark.slow

KEPT = [
    ("32767::smallint", "32767", "smallint", Kind.NUMBER),
    ("(-2147483648)::int", "-2147483648", "integer", Kind.NUMBER),
    ("9223372036854775807", "9223372036854775807", "bigint", Kind.NUMBER),
    ("1.50::numeric(9, 4)", "1.5000", "numeric", Kind.NUMBER),
    ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789", "numeric", Kind.NUMBER),
    ("0.1::real", "0.1", "real", Kind.NUMBER),
    ("16777217::real", "1.6777216e+07", "real", Kind.NUMBER),
    ("0.1::float8 + 0.2::float8", "0.30000000000000004", "double precision", Kind.NUMBER),
    ("1e300::float8", "1e+300", "double precision", Kind.NUMBER),
    ("true", "true", "boolean", Kind.OTHER),
    ("'æ \" \\ / \u2028'::text", '"æ \\" \\\\ / \u2028"', "text", Kind.TEXT),
    ("E'\\n\\x01'::varchar", '"\\n\\u0001"', "character varying", Kind.TEXT),
    ("'ab'::char(4)", '"ab  "', "character", Kind.TEXT),
    (
        "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid",
        '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"',
        "uuid",
        Kind.TEXT,
    ),
    (
        "'2026-01-31 12:00+09'::timestamptz",
        '"2026-01-31T03:00:00.000000Z"',
        "timestamp with time zone",
        Kind.TIMESTAMP,
    ),
    (
        "'2026-01-31 12:00:00.1'::timestamp",
        '"2026-01-31T12:00:00.100000"',
        "timestamp without time zone",
        Kind.TIMESTAMP,
    ),
    ("date '2026-01-31'", '"2026-01-31"', "date", Kind.TEXT),
    ("time '12:30'", '"12:30:00"', "time without time zone", Kind.TEXT),
    ("interval '1 day 2 hours'", '"P1DT2H"', "interval", Kind.OTHER),
    ("'10.0.0.1'::inet", '"10.0.0.1"', "inet", Kind.OTHER),
    ("'happy'::mood", '"happy"', "mood", Kind.OTHER),
    ("7::positive", "7", "integer", Kind.NUMBER),
    ("ARRAY[1, NULL, 3]", "[1,null,3]", "integer[]", Kind.OTHER),
    ("'{}'::text[]", "[]", "text[]", Kind.OTHER),
    ("ARRAY['a,b', 'c\"d', 'NULL', '{}', '']", '["a,b","c\\"d","NULL","{}",""]', "text[]", Kind.OTHER),
    ("ARRAY[timestamptz '2026-01-01Z']", '["2026-01-01T00:00:00.000000Z"]', "timestamp with time zone[]", Kind.OTHER),
    ("ARRAY['happy'::mood]", '["happy"]', "mood[]", Kind.OTHER),
    ("'1.50'::json", "1.50", "json", Kind.OTHER),
    ("'\"a\\u00e9\"'::jsonb", '"aé"', "jsonb", Kind.OTHER),
    ("'[1, \"x\", null, true, 1.50]'::jsonb", '[1,"x",null,true,1.50]', "jsonb", Kind.OTHER),
    ("' [ 1 , 2 ] '::json", "[1,2]", "json", Kind.OTHER),
    ("'null'::jsonb", "null", "jsonb", Kind.OTHER),
    ("NULL::numeric", "null", "numeric", Kind.NUMBER),
    ("NULL::int[]", "null", "integer[]", Kind.OTHER),
]
FAULTS = [
    ("'NaN'::numeric", "NaN"),
    ("'Infinity'::float8", "Infinity"),
    ("'-infinity'::timestamptz", "-infinity"),
    ("'infinity'::timestamp", "infinity"),
    ("'infinity'::date", "infinity"),
    ("timestamptz '12026-01-31 12:00Z'", "12026"),
    ("timestamp '0044-03-15 12:00 BC'", "BC"),
    ("'\\x00ff'::bytea", "encode("),
    ("'{\"a\": 1}'::jsonb", "cannot be nested"),
    ("'[[1]]'::jsonb", "arrays"),
    ("'[{}]'::json", "arrays"),
    ("'\"\\ud800\"'::json", "surrogate"),
    ("ARRAY[[1], [2]]", "arrays"),
    ("ARRAY['NaN'::float8]", "NaN"),
    ("'[0:1]={1,2}'::int[]", "indexes"),
    ("ROW(1, 2)", "composite"),
    ("'(1,2)'::pair", "composite"),
]


@pytest.fixture(scope="module")
def source(postgres):
    """A database with some types of its own."""
    database = postgres.database()
    with psycopg.connect(postgres.url(database), autocommit=True) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
        connection.execute("CREATE TYPE pair AS (a int, b int)")
        connection.execute("CREATE DOMAIN positive AS int CHECK (VALUE > 0)")
    address = Address(Provider.POSTGRES, postgres.url(database))
    with contextlib.closing(open_source(address, HostPolicy(), SourceLimits())) as opened:
        yield opened


def _row(source, query, parameters=None):
    (page,) = source.pages(query, parameters or {}, page_rows_max=10)
    return page.columns, [cells[0] for cells in page.cells]


def test_values_keep_what_they_are(source):
    """Each with its type's name and what it compares by."""
    columns, cells = _row(source, f"SELECT {', '.join(f'{value} AS c{n}' for n, (value, *_) in enumerate(KEPT))}")
    told = [(cell, column.type, column.kind) for cell, column in zip(cells, columns, strict=True)]
    assert told == [tuple(one[1:]) for one in KEPT]


def test_what_has_no_form_is_a_fault_that_says_why(source):
    """And nothing else in its row is."""
    _, cells = _row(source, f"SELECT 1, {', '.join(value for value, _ in FAULTS)}".replace(", ROW", ", ROW"))
    assert cells[0] == "1"
    for (value, word), cell in zip(FAULTS, cells[1:], strict=True):
        assert isinstance(cell, BadValue), value
        assert word in cell.message


def test_faults_stand_among_values(source):
    """In one column, row by row."""
    query = "SELECT * FROM (VALUES ('NaN'::numeric), (NULL), (1.0)) AS v(n)"
    (page,) = source.pages(query, {}, page_rows_max=10)
    assert isinstance(page.cells[0][0], BadValue)
    assert page.cells[0][1:] == ["null", "1.0"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_comes_back_as_it_was_bound(source, text):
    """As a parameter, and as a cell."""
    (page,) = source.pages(
        "SELECT {{cursor}}::text, {{ cursor }}::text = {{cursor}}", {"cursor": text}, page_rows_max=1
    )
    assert psycopg.types.json.json.loads(page.cells[0][0]) == text
    assert page.cells[1] == ["true"]


@pytest.mark.parametrize(
    ("query", "value", "cell"),
    [
        ("SELECT {{cursor}} + 1", 2**40, "1099511627777"),
        ("SELECT {{cursor}} + 1", 10**30, f"{10**30 + 1}"),
        ("SELECT {{cursor}} * 2", Decimal("-0.05"), "-0.10"),
        (
            "SELECT {{last_run_at}}",
            datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=9))),
            '"2025-12-31T15:00:00.000000Z"',
        ),
        ("SELECT {{cursor}}", datetime.fromisoformat("2026-01-01T00:00:00.000005"), '"2026-01-01T00:00:00.000005"'),
        ("SELECT {{cursor}} = gen_random_uuid()", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "false"),
        ("SELECT date '2026-01-02' > {{cursor}}", "2026-01-01", "true"),
        ("SELECT 'a%sb' || {{cursor}} || '$1'", "x", '"a%sbx$1"'),
        (
            "SELECT {{last_run_at}} - interval '60 minutes'",
            datetime(2026, 1, 1, 1, tzinfo=UTC),
            '"2026-01-01T00:00:00.000000Z"',
        ),
    ],
)
def test_parameters_have_the_type_that_they_are(source, query, value, cell):
    """Text takes the type of what it stands beside."""
    (page,) = source.pages(query, {"cursor": value, "last_run_at": value}, page_rows_max=1)
    assert page.cells[0] == [cell]


def test_a_parameter_that_postgresql_cannot_hold_is_told(source):
    """U+0000 is in none of its texts."""
    with pytest.raises(QueryError, match=r"U\+0000"):
        list(source.pages("SELECT {{cursor}}", {"cursor": "a\0b"}, page_rows_max=1))


def test_a_parameter_without_a_value_is_told(source):
    """By its name."""
    with pytest.raises(QueryError, match=r"\{\{cursor\}\} has no value"):
        list(source.pages("SELECT {{cursor}}", {"last_run_at": datetime.now(UTC)}, page_rows_max=1))


def test_a_row_that_fits_into_no_memory_is_refused(source):
    """A few rows of 90 MiB are no usage."""
    with pytest.raises(QueryError, match="64 MiB"):
        list(source.pages("SELECT repeat('x', 90000000) FROM generate_series(1, 3)", {}, page_rows_max=10))
    assert _row(source, "SELECT 1")[1] == ["1"]


def test_an_error_after_some_rows_is_raised(source):
    """The database's own words."""
    pages = source.pages("SELECT 1 / (n - 30000) FROM generate_series(1, 50000) AS n", {}, page_rows_max=1000)
    assert next(pages).rows == 1000
    with pytest.raises(QueryError, match="division by zero"):
        list(pages)
