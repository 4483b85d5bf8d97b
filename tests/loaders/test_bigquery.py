"""BigQuery: what is its own, through Google's client and its REST interface, in front of a stand-in for the service."""

import contextlib
import threading
import zlib
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from loaders.errors import QueryError, SourceDeniedError, SourceError, SourceUnavailableError
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.provider import Address, Provider
from loaders.source import BadValue, Kind
from loaders.sources.bigquery import open_source
from loaders.sources.bigquery_login import read_login
from loaders.sources.bigquery_rows import Field, ResultPage, columns_of_cells, read_page
from tests.loaders.names import lead_inside
from tests.loaders.sql.hostile import BIGQUERY
from tests.peers.bigquery.process import PROJECT, BigQuery
from tests.peers.keys import new_key

KEY = new_key()[0]
WHOLE = {
    "type": "service_account",
    "project_id": PROJECT,
    "private_key": KEY,
    "client_email": "loader@acme.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}


@pytest.fixture(scope="module")
def service():
    with BigQuery() as started:
        started.run('CREATE SCHEMA "usage"')
        yield started


def opened(credentials, policy=None, **limits):
    address = Address(Provider.BIGQUERY, credentials=credentials)
    return open_source(address, policy or HostPolicy(), SourceLimits(**limits))


@pytest.fixture
def source(service):
    one = opened(service.credentials)
    yield one
    one.close()


def only_row(source, query, parameters=None):
    (page,) = source.pages(query, parameters or {}, page_rows_max=10)
    return {column.name: cells[0] for column, cells in zip(page.columns, page.cells, strict=True)}, page.columns


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"type": "external_account"}, "type is 'external_account'"),
        ({"type": "impersonated_service_account"}, "service_account"),
        ({"type": "authorized_user"}, "service_account"),
        ({"type": None}, "service_account"),
        ({"token_uri": "http://169.254.169.254/token"}, "token_uri"),
        ({"token_uri": "https://evil.example/token"}, "token_uri"),
        ({"token_uri": "https://oauth2.googleapis.com@evil.example/token"}, "token_uri"),
        ({"api_endpoint": "https://a.example", "token_uri": "https://a.example.evil/token"}, "token_uri"),
        ({"api_endpoint": "https://a.example", "token_uri": "https://a.example@evil/token"}, "token_uri"),
        ({"universe_domain": "evil.example"}, "universe_domain"),
        ({"private_key": "/etc/passwd"}, "private_key cannot be read"),
        ({"private_key": None}, "private_key is missing"),
        ({"client_email": None}, "client_email is missing"),
        ({"project_id": None}, "project is missing"),
        ({"project": "a/../b"}, "project"),
        ({"location": "EU/../x"}, "location"),
        ({"api_endpoint": "file:///etc/passwd"}, "api_endpoint"),
        ({"api_endpoint": "https://host/path"}, "api_endpoint"),
        ({"api_endpoint": "https://user@host"}, "api_endpoint"),
        ({"api_endpoint": 5}, "api_endpoint"),
        ({"maximum_bytes_billed": "much"}, "maximum_bytes_billed"),
        ({"maximum_bytes_billed": 0}, "maximum_bytes_billed"),
    ],
)
def test_credentials_that_cannot_be_are_refused_by_name_and_without_the_secret(changed, words):
    with pytest.raises(SourceDeniedError, match=words) as refused:
        read_login({**WHOLE, **changed})
    assert "PRIVATE KEY" not in str(refused.value)


def test_a_key_as_google_gives_it_is_taken():
    login = read_login(
        WHOLE | {"private_key_id": "1", "client_id": "2", "auth_uri": "https://x.example", "project": ""}
    )
    assert (login.project, login.endpoint) == (PROJECT, "https://bigquery.googleapis.com")
    assert KEY not in repr(login)


@pytest.mark.slow
def test_google_is_judged_like_any_other_host(monkeypatch):
    lead_inside(monkeypatch)
    source = opened(WHOLE, HostPolicy(private=False), connect_s_max=60)
    with pytest.raises(SourceDeniedError, match=r"oauth2\.googleapis\.com \(10\.1\.2\.3\)"):
        source.ping()
    source.close()


def test_what_a_server_sends_is_read_as_its_type_and_never_pasted():
    """A value that would end its place in an event's JSON is no number, whatever the schema calls it."""
    body = b'{"jobComplete":true,"rows":[{"f":[{"v":"1,\\"id\\":2"}]}]}'
    rows = read_page(body).rows
    for kind in ("INTEGER", "FLOAT", "NUMERIC", "BIGNUMERIC", "BOOLEAN", "DATE", "TIME", "DATETIME", "TIMESTAMP"):
        with pytest.raises((ValueError, TypeError)):
            columns_of_cells(rows, [Field("a", kind)], 100)
    assert columns_of_cells(rows, [Field("a", "STRING")], 100) == [['"1,\\"id\\":2"']]
    assert isinstance(columns_of_cells(rows, [Field("a", "JSON")], 100)[0][0], BadValue)


@pytest.mark.parametrize("numeral", ["+1", "01", ".5", "1.", "1e5", "NaN", "0x1", "1_0", "", " 1", "1\n"])
def test_a_numeral_that_json_has_not_is_none(numeral):
    row = ResultPage(rows=read_page(b'{"rows":[{"f":[{"v":"0"}]}]}').rows).rows
    row[0].f[0].v = numeral
    with pytest.raises(ValueError, match="numeral"):
        columns_of_cells(row, [Field("a", "NUMERIC")], 100)


def test_a_row_of_too_few_values_is_none():
    rows = read_page(b'{"rows":[{"f":[{"v":"0"}]}]}').rows
    with pytest.raises(ValueError, match="as many values"):
        columns_of_cells(rows, [Field("a", "STRING"), Field("b", "STRING")], 100)


@pytest.mark.slow
def test_each_type_has_its_form(source):
    cells, columns = only_row(
        source,
        """
        SELECT 9223372036854775807 AS whole, CAST('12345678901234567890.123456789' AS NUMERIC) AS exact,
               CAST('1.5' AS BIGNUMERIC) AS very_exact, 0.1e0 AS binary_number, CAST('nan' AS FLOAT64) AS no_number,
               'a"b' AS words, TRUE AS yes, DATE '2026-01-31' AS day, TIME '01:02:03.5' AS clock,
               DATETIME '2026-01-31 01:02:03.123456' AS naive, TIMESTAMP '2026-01-31 01:02:03+02:00' AS aware,
               CAST(NULL AS STRING) AS nothing, [1, 2] AS plain_array, ['a"', 'b'] AS texts,
               JSON '[1, 2.5, null]' AS json_array, JSON '{"a": 1}' AS object, STRUCT(1 AS a) AS structure,
               [STRUCT(1 AS a)] AS structures, b'x' AS bytes, INTERVAL 1 DAY AS span
        """,
    )
    assert (cells["whole"], cells["exact"]) == ("9223372036854775807", "12345678901234567890.123456789")
    assert Decimal(cells["very_exact"]) == Decimal("1.5")
    assert cells["binary_number"] == "0.1"
    assert (cells["words"], cells["yes"], cells["nothing"]) == ('"a\\"b"', "true", "null")
    assert (cells["day"], cells["clock"]) == ('"2026-01-31"', '"01:02:03.500000"')
    assert cells["naive"] == '"2026-01-31T01:02:03.123456"'
    assert cells["aware"] == '"2026-01-30T23:02:03.000000Z"'
    assert (cells["plain_array"], cells["texts"]) == ("[1,2]", '["a\\"","b"]')
    assert (cells["json_array"], cells["span"]) == ("[1,2.5,null]", '"0-0 1 0:0:0"')
    faults = {name: cell.message for name, cell in cells.items() if isinstance(cell, BadValue)}
    assert set(faults) == {"no_number", "object", "structure", "structures", "bytes"}
    kinds = {column.name: column.kind for column in columns}
    assert {kinds[name] for name in ("whole", "exact", "binary_number")} == {Kind.NUMBER}
    assert (kinds["naive"], kinds["aware"], kinds["words"]) == (Kind.TIMESTAMP, Kind.TIMESTAMP, Kind.TEXT)
    assert kinds["plain_array"] == Kind.OTHER
    shown = {column.name: column.type for column in columns}
    assert (shown["whole"], shown["plain_array"], shown["structure"]) == ("INT64", "ARRAY<INT64>", "STRUCT")


@pytest.mark.slow
def test_parameters_are_bound_with_the_type_that_holds_them(service, source):
    service.seen()
    at = datetime(2026, 1, 31, 1, 2, 3, 4, tzinfo=UTC)
    query = "SELECT {{cursor}} AS c, {{last_run_at}} AS r, {{cursor}} AS again"
    values = [5, Decimal("1.5"), Decimal("0.0000000001"), "x", at.replace(tzinfo=None)]
    for value in values:
        cells, _ = only_row(source, query, {"cursor": value, "last_run_at": at})
        assert cells["r"] == '"2026-01-31T01:02:03.000004Z"'
        assert cells["c"] == cells["again"]
    sent = [what["query"]["queryParameters"] for kind, what in _pairs(service) if kind == "configuration"][1::2]
    assert [one[0]["parameterType"]["type"] for one in sent] == ["INT64", "NUMERIC", "BIGNUMERIC", "STRING", "DATETIME"]
    with pytest.raises(QueryError, match=r"\{\{cursor\}\}"):
        only_row(source, "SELECT {{cursor}} AS c")


def _pairs(service):
    return [one for one in service.seen() if len(one) == 2]


@pytest.mark.slow
def test_a_job_is_limited_labelled_and_looked_at_first(service):
    service.seen()
    source = opened(service.credentials | {"maximum_bytes_billed": 10_000_000}, statement_s_max=30)
    only_row(source, "SELECT 1 AS a")
    source.close()
    looked_at, ran = [what for kind, what in _pairs(service) if kind == "configuration"]
    assert looked_at["dryRun"] is True
    assert "dryRun" not in ran
    assert (ran["jobTimeoutMs"], ran["labels"]) == ("30000", {"by": "meterline"})
    assert ran["query"]["maximumBytesBilled"] == "10000000"
    assert ran["query"]["useLegacySql"] is False


@pytest.mark.slow
def test_what_bigquery_takes_for_another_statement_never_runs(service, source):
    """The second wall: the check before it is gone round here."""
    service.run("CREATE OR REPLACE TABLE usage.kept AS SELECT 1 AS id")
    for statement in ("DELETE FROM usage.kept WHERE TRUE", "DROP TABLE usage.kept", "SELECT 1; DROP TABLE usage.kept"):
        with pytest.raises(QueryError, match="only a SELECT may run"), source._translated():
            next(source._pages(statement, [], 10))
    assert only_row(source, "SELECT id FROM usage.kept")[0] == {"id": "1"}


@pytest.mark.slow
def test_hostile_queries_change_nothing_past_the_check_either(service, source):
    service.run('CREATE SCHEMA IF NOT EXISTS "main"', "CREATE OR REPLACE TABLE victim AS SELECT 1 AS id")
    for query in BIGQUERY:
        with contextlib.suppress(SourceError), source._translated():
            list(source._pages(query, [], 10))
    assert only_row(source, "SELECT COUNT(*) AS n, MAX(id) AS id FROM victim")[0] == {"n": "1", "id": "1"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ("SELECT nope FROM usage.t", QueryError, r"Unrecognized name: nope at \[1:8\]"),
        ("SELECT id FROM usage.gone", QueryError, "Not found"),
        ("SELECT id FROM locked.t", SourceDeniedError, "no permission"),
        ("SELECT id FROM failing.t", QueryError, "Resources exceeded"),
    ],
)
def test_errors_say_what_bigquery_says(service, source, query, error, words):
    service.run("CREATE OR REPLACE TABLE usage.t AS SELECT 1 AS id")
    with pytest.raises(error, match=words):
        only_row(source, query)


@pytest.mark.slow
def test_a_query_that_would_cost_too_much_is_told_with_the_remedy(service):
    service.run("CREATE OR REPLACE TABLE usage.t AS SELECT 1 AS id")
    source = opened(service.credentials | {"maximum_bytes_billed": 10})
    with pytest.raises(QueryError, match="Raise maximum_bytes_billed"):
        only_row(source, "SELECT id FROM usage.t")
    source.close()


@pytest.mark.slow
@pytest.mark.parametrize("status", [503, 500, 429])
def test_a_service_that_is_busy_is_asked_again_and_the_query_runs_once(service, source, status):
    service.seen()
    source.ping()
    service.refuse(status)
    assert only_row(source, "SELECT 1 AS a")[0] == {"a": "1"}
    seen = service.seen()
    ran = [what for kind, what in (one for one in seen if len(one) == 2) if kind == "configuration"]
    assert [one.get("dryRun", False) for one in ran] == [True, True, False]


@pytest.mark.slow
def test_a_service_that_stays_away_is_unavailable(service):
    source = opened(service.credentials, connect_s_max=0.5)
    service.refuse(*[503] * 50)
    with pytest.raises(SourceUnavailableError, match="on purpose"):
        source.ping()
    service.forgive()
    source.close()


@pytest.mark.slow
def test_a_token_that_is_taken_away_is_asked_for_again(service, source):
    source.ping()
    service.kill()
    service.start()
    assert list(source.ping()) == []


class Bomb(BaseHTTPRequestHandler):
    """Answers everything with a few kilobytes that become a gigabyte, or with JSON that is nested without end."""

    nested = False

    def do_POST(self):
        zeros = zlib.compressobj(wbits=31)
        body = b"[" * 100_000 if self.nested else b"".join(zeros.compress(b"0" * 2**20) for _ in range(1024))
        body += b"" if self.nested else zeros.flush()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Encoding", "identity" if self.nested else "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("nested", [True, False])
def test_a_host_that_sends_too_much_is_told_and_nothing_worse(nested, monkeypatch):
    monkeypatch.setattr(Bomb, "nested", nested)
    with ThreadingHTTPServer(("127.0.0.1", 0), Bomb) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = opened({"api_endpoint": f"http://127.0.0.1:{server.server_address[1]}", "project": PROJECT})
        with pytest.raises(SourceUnavailableError):
            source.ping()
        source.close()
        server.shutdown()


@pytest.mark.slow
def test_plain_http_needs_no_key_and_https_does(service):
    source = opened({"api_endpoint": service.endpoint, "project": PROJECT})
    assert only_row(source, "SELECT 1 AS a")[0] == {"a": "1"}
    source.close()
    with pytest.raises(SourceDeniedError, match="service_account"):
        opened({"project": PROJECT})


@pytest.mark.slow
def test_pages_are_fetched_as_large_as_asked_for_and_end_where_the_result_ends(service, source):
    service.seen()
    pages = list(source.pages("SELECT n AS id FROM UNNEST(GENERATE_ARRAY(1, 2500)) AS n", {}, page_rows_max=1000))
    assert [page.rows for page in pages] == [1000, 1000, 500]
    asked = [query for method, path, query in (one for one in service.seen() if len(one) == 3) if "/queries/" in path]
    assert [one.get("pageToken") for one in asked] == [None, "1000", "2000"]
    assert {one["formatOptions.useInt64Timestamp"] for one in asked} == {"true"}
