"""Snowflake: what is its own, through the real driver, in front of a stand-in for the server."""

import contextlib
import ipaddress
import threading
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.hazmat.primitives import serialization

from loaders.errors import QueryError, SourceDeniedError, SourceError, SourceUnavailableError
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.provider import Address, Provider
from loaders.source import BadValue, Kind
from loaders.sources.snowflake import open_source
from loaders.sources.snowflake_login import read_login
from tests.loaders.names import lead_inside
from tests.loaders.sql.hostile import SNOWFLAKE
from tests.peers.keys import new_key
from tests.peers.snowflake.process import Snowflake

WHOLE = {"account": "acme-main", "user": "LOADER", "password": "secret-1"}


@pytest.fixture(scope="module")
def snowflake():
    with Snowflake() as started:
        yield started


def opened(credentials, policy=None, **limits):
    address = Address(Provider.SNOWFLAKE, credentials=credentials)
    return open_source(address, policy or HostPolicy(), SourceLimits(**limits))


@pytest.fixture
def source(snowflake):
    one = opened(snowflake.credentials)
    yield one
    one.close()


def only_row(source, query, parameters=None):
    (page,) = source.pages(query, parameters or {}, page_rows_max=10)
    return {column.name: cells[0] for column, cells in zip(page.columns, page.cells, strict=True)}, page.columns


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"account": ""}, "account is missing"),
        ({"account": "https://acme.snowflakecomputing.com"}, "part before .snowflakecomputing.com"),
        ({"account": "acme/../x"}, "account"),
        ({"account": "evil.example.com#"}, "account"),
        ({"account": "acme@evil"}, "account"),
        ({"user": None}, "user is missing"),
        ({"password": ""}, "one of password and private_key"),
        ({"private_key": "-----BEGIN"}, "one of password and private_key"),
        ({"password": None, "private_key": "/etc/passwd"}, "private_key cannot be read"),
        ({"password": None, "private_key": "-----BEGIN PRIVATE KEY-----\nx"}, "private_key cannot be read"),
        ({"authenticator": "externalbrowser"}, "authenticator is not taken"),
        ({"private_key_file": "/root/key"}, "private_key_file is not taken"),
        ({"session_parameters": {}}, "session_parameters is not taken"),
        ({"proxy_host": "x"}, "proxy_host is not taken"),
        ({"host": "evil/path"}, "host"),
        ({"host": "a", "port": 0}, "port"),
        ({"host": "a", "port": "x"}, "port"),
        ({"host": "a", "protocol": "file"}, "protocol"),
        ({"protocol": "http"}, "give it too"),
        ({"role": "a\nb"}, "role"),
        ({"warehouse": 5}, "warehouse"),
    ],
)
def test_credentials_that_cannot_be_are_refused_by_name_and_without_the_secret(changed, words):
    with pytest.raises(SourceDeniedError, match=words) as refused:
        read_login({**WHOLE, **changed})
    assert "secret-1" not in str(refused.value)


def test_a_login_does_not_print_its_secret():
    assert "secret-1" not in repr(read_login(WHOLE))
    assert "secret-1" not in repr(Address(Provider.SNOWFLAKE, credentials=WHOLE))


@pytest.mark.slow
def test_an_account_is_reached_at_snowflake_and_judged(monkeypatch):
    """A name below Snowflake's that leads into the operator's network is refused like any other."""
    lead_inside(monkeypatch)
    source = opened(WHOLE, HostPolicy(private=False), connect_s_max=60)
    with pytest.raises(SourceDeniedError, match=r"acme-main\.snowflakecomputing\.com \(10\.1\.2\.3\)"):
        source.ping()
    source.close()


class Stranger(BaseHTTPRequestHandler):
    """Knows nothing, as the address of an account that is none."""

    def do_POST(self):
        self.send_error(404)

    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_an_account_that_is_none_is_told():
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = {"host": "127.0.0.1", "port": server.server_address[1], "protocol": "http"}
        with pytest.raises(SourceDeniedError, match="no account acme-main"):
            opened(WHOLE | there).ping()
        server.shutdown()


@pytest.mark.slow
def test_each_type_has_its_form(source):
    cells, columns = only_row(
        source,
        """
        SELECT 12345678901234567890123456789012345678 AS whole, CAST('1.50' AS NUMBER(38, 20)) AS exact,
               CAST(0.1 AS FLOAT) AS binary_number, 'a"b' AS words, TRUE AS yes, CAST('2026-01-31' AS DATE) AS day,
               CAST('01:02:03.5' AS TIME) AS clock, CAST('2026-01-31 01:02:03.123456' AS TIMESTAMP_NTZ) AS naive,
               CAST('2026-01-31 01:02:03 +02:00' AS TIMESTAMP_TZ) AS aware, NULL AS nothing,
               PARSE_JSON('[1, 2.5, "x", null]') AS plain_array, PARSE_JSON('{"a": 1}') AS object,
               PARSE_JSON('"text"') AS scalar, TO_BINARY('00', 'HEX') AS bytes
        """,
    )
    assert cells["WHOLE"] == "12345678901234567890123456789012345678"
    assert Decimal(cells["EXACT"]) == Decimal("1.5")
    assert cells["BINARY_NUMBER"] == "0.1"
    assert (cells["WORDS"], cells["YES"], cells["NOTHING"]) == ('"a\\"b"', "true", "null")
    assert (cells["DAY"], cells["CLOCK"]) == ('"2026-01-31"', '"01:02:03.500000"')
    assert cells["NAIVE"] == '"2026-01-31T01:02:03.123456"'
    assert cells["AWARE"] == '"2026-01-30T23:02:03.000000Z"'
    assert cells["PLAIN_ARRAY"] == '[1,2.5,"x",null]'
    assert cells["SCALAR"] == '"text"'
    assert "object" in cells["OBJECT"].message
    assert "binary" in cells["BYTES"].message
    assert isinstance(cells["OBJECT"], BadValue)
    kinds = {column.name: column.kind for column in columns}
    assert {kinds[name] for name in ("WHOLE", "EXACT", "BINARY_NUMBER")} == {Kind.NUMBER}
    assert {kinds["NAIVE"], kinds["AWARE"]} == {Kind.TIMESTAMP}
    assert {column.name: column.type for column in columns}["EXACT"] == "NUMBER(38,20)"


@pytest.mark.slow
def test_names_are_in_upper_case_unless_they_are_quoted(source):
    cells, _ = only_row(source, f"SELECT 1 AS customerId, 2 AS {source.quote}customerName{source.quote}")
    assert cells == {"CUSTOMERID": "1", "customerName": "2"}


@pytest.mark.slow
def test_a_session_is_limited_tagged_and_in_utc_and_tells_nobody(snowflake, source):
    snowflake.seen()
    source.ping()
    (login,) = [one for one in snowflake.seen() if "login" in one]
    told = {name.upper(): str(value) for name, value in login["login"]["SESSION_PARAMETERS"].items()}
    assert told["STATEMENT_TIMEOUT_IN_SECONDS"] == "600"
    assert (told["QUERY_TAG"], told["TIMEZONE"], told["MULTI_STATEMENT_COUNT"]) == ("meterline", "UTC", "1")
    assert told["CLIENT_TELEMETRY_ENABLED"].lower() == "false"
    assert login["asked"]["roleName"] == "READER"


@pytest.mark.slow
def test_a_session_without_a_warehouse_is_warned_of(snowflake):
    source = opened(snowflake.credentials | {"warehouse": ""})
    assert any("warehouse" in warning for warning in source.ping())
    source.close()


@pytest.mark.slow
def test_a_query_is_sent_where_only_queries_are_taken(snowflake, source):
    snowflake.seen()
    only_row(source, "SELECT 1 AS a")
    (sent,) = [one["query"] for one in snowflake.seen() if "query" in one]
    assert sent["sqlText"].startswith("SELECT * FROM (\nSELECT 1 AS a")
    assert sent["sqlText"].endswith("\n)")
    assert sent["asyncExec"] is True
    with pytest.raises(QueryError, match="Line 1"), source._translated():
        next(source._pages("SELECT * FROM (\nDELETE FROM t\n)", [], 10))


@pytest.mark.slow
def test_hostile_queries_change_nothing_past_the_check_either(snowflake, source):
    """The second wall, with what closes its parenthesis too."""
    snowflake.run("CREATE OR REPLACE TABLE victim AS SELECT 1 AS id")
    closing = [
        "SELECT 1); DROP TABLE victim; SELECT (1",
        "SELECT 1); DELETE FROM victim; --",
        "SELECT 1) WITH x AS (SELECT 2",
    ]
    for query in [*SNOWFLAKE, *closing]:
        with contextlib.suppress(SourceError), source._translated():
            list(source._pages(f"SELECT * FROM (\n{query}\n)", [], 10))
    assert only_row(source, "SELECT COUNT(*) AS n, MAX(id) AS id FROM victim")[0] == {"N": "1", "ID": "1"}


@pytest.mark.slow
def test_parameters_are_bound_with_their_types(snowflake, source):
    snowflake.seen()
    at = datetime(2026, 1, 31, 1, 2, 3, 4, tzinfo=UTC)
    cells, _ = only_row(source, "SELECT {{cursor}} AS c, {{last_run_at}} AS r", {"cursor": 5, "last_run_at": at})
    assert cells == {"C": "5", "R": '"2026-01-31T01:02:03.000004Z"'}
    (sent,) = [one["query"] for one in snowflake.seen() if "query" in one]
    assert [one["type"] for one in sent["bindings"].values()] == ["FIXED", "TIMESTAMP_LTZ"]
    with pytest.raises(QueryError, match=r"\{\{cursor\}\}"):
        only_row(source, "SELECT {{cursor}} AS c")


@pytest.mark.slow
def test_a_private_key_lets_in_and_another_does_not(snowflake):
    by_key = {name: value for name, value in snowflake.credentials.items() if name != "password"}
    source = opened(by_key | {"private_key": snowflake.private_key})
    assert list(source.ping()) == []
    source.close()
    with pytest.raises(SourceDeniedError, match="JWT"):
        opened(by_key | {"private_key": new_key()[0]}).ping()


@pytest.mark.slow
def test_an_encrypted_key_takes_its_passphrase(snowflake):
    key = serialization.load_pem_private_key(snowflake.private_key.encode(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"open sesame"),
    ).decode()
    by_key = {name: value for name, value in snowflake.credentials.items() if name != "password"}
    source = opened(by_key | {"private_key": locked, "private_key_passphrase": "open sesame"})
    assert list(source.ping()) == []
    source.close()
    with pytest.raises(SourceDeniedError, match="private_key_passphrase"):
        opened(by_key | {"private_key": locked})


@pytest.mark.slow
def test_where_parts_of_a_result_are_is_judged_too(snowflake):
    """The first part comes in the answer, the others from hosts that the server names."""
    snowflake.tell_parts_at("localhost")
    policy = HostPolicy(allow=(ipaddress.ip_network("127.0.0.1/32"),))
    assert sum(page.rows for page in _many(snowflake, policy)) == 30_000
    with pytest.raises(SourceDeniedError, match="localhost"):
        list(_many(snowflake, HostPolicy(deny=("localhost",))))
    snowflake.tell_parts_at("127.0.0.1")


def _many(snowflake, policy):
    source = opened(snowflake.credentials, policy)
    numbers = "SELECT ROW_NUMBER() OVER (ORDER BY 1) AS n FROM TABLE(GENERATOR(ROWCOUNT => 30000))"
    yield from source.pages(numbers, {}, page_rows_max=5000)
    source.close()


@pytest.mark.slow
def test_a_session_that_ran_out_is_replaced_at_the_next_try(snowflake, source):
    source.ping()
    snowflake.kill()
    snowflake.start()
    with pytest.raises(SourceUnavailableError):
        only_row(source, "SELECT 1 AS a")
    assert only_row(source, "SELECT 1 AS a")[0] == {"A": "1"}
