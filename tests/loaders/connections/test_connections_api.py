"""A connection is saved once its database answered, and its secrets never come back."""

import asyncio
import hashlib
import json
import threading

import pytest
from structlog.testing import capture_logs

from loaders.connections.pinging import PINGS_OF_AN_ACCOUNT_MAX
from loaders.connections.registry import Connections
from loaders.secrets.keys import GivenKeys, NoKeys, new_key
from metering.http.scope import Scope
from metering.registry.tables import kept_answers
from metering.world import Mode, World
from tests.loaders.connections.databases import denied

URL = "postgres://reader:hunter2@db.example.com/usage?sslmode=require"
SHOWN = "postgres://reader:***@db.example.com/usage?sslmode=require"
LOGIN = {"account": "acme-1", "user": "u", "password": "hunter2", "warehouse": "w", "database": "d", "port": 8}
POSTGRES = {"provider": "postgres", "name": "warehouse", "url": URL}
SNOWFLAKE = {"provider": "snowflake", "name": "lake", "credentials": LOGIN}
SERVICE_ACCOUNT = {
    "type": "service_account",
    "project_id": "p",
    "client_email": "a@p.iam.example",
    "private_key": "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n",
    "token_uri": "https://oauth2.googleapis.com/token",
    "auth_provider_x509_cert_url": "https://unknown.example/ignored",
}
BIGQUERY = {"provider": "bigquery", "name": "big", "credentials": SERVICE_ACCOUNT}


def address_of(api, connection_id):
    return Connections(api.registry, api.keys).address_of(api.world, connection_id)


async def test_a_connection_is_pinged_saved_and_given_back_masked(api):
    status, made = await api("POST", "", POSTGRES)
    assert (status, made["url"], made["credentials"]) == (201, SHOWN, None)
    assert made["warnings"] == ["the user u may write: use one that only reads"]
    assert made["pinged_at"] is not None
    assert (api.database.pings, api.database.closed) == (1, 1)
    assert await api("GET", f"/{made['id']}") == (200, made)
    assert (await api("GET", "?provider=postgres"))[1]["data"] == [made]
    assert address_of(api, made["id"]).url == URL


@pytest.mark.parametrize("body", [SNOWFLAKE, BIGQUERY])
async def test_credentials_come_back_without_their_secret_and_can_be_sent_back(api, body):
    status, made = await api("POST", "", body)
    assert status == 201
    assert "***" in made["credentials"].values()
    before = address_of(api, made["id"])
    assert await api("PUT", f"/{made['id']}", {**made, "name": "other"}) == (
        200,
        {**made, "name": "other", "updated_at": (await api("GET", f"/{made['id']}"))[1]["updated_at"]},
    )
    assert address_of(api, made["id"]) == before
    assert api.database.pings == 1, "nothing but the name changed"


async def test_a_database_that_refuses_is_told_in_its_words_and_nothing_is_saved(api):
    api.database.failure = denied('password authentication failed for user "reader" with hunter2')
    status, told = await api("POST", "", POSTGRES)
    assert status == 422
    assert told["message"] == 'password authentication failed for user "reader" with ***'
    assert told["errors"][0]["path"] == ["url"]
    assert (await api("GET", ""))[1]["meta"]["total"] == 0


async def test_a_driver_that_fails_in_its_own_way_says_nothing_it_was_sent(api):
    api.database.failure = RuntimeError("cannot parse hunter2")
    status, told = await api("POST", "", POSTGRES)
    assert status == 422
    assert "RuntimeError" in told["message"]


async def test_another_address_is_pinged_and_kept_only_when_it_answers(api):
    made = (await api("POST", "", POSTGRES))[1]
    api.database.failure = denied("no such database")
    moved = {"url": SHOWN.replace("/usage", "/other")}
    assert (await api("PUT", f"/{made['id']}", moved))[0] == 422
    assert await api("GET", f"/{made['id']}") == (200, made)
    api.database.failure = None
    assert (await api("PUT", f"/{made['id']}", moved))[0] == 200
    assert address_of(api, made["id"]).url == URL.replace("/usage", "/other")


@pytest.mark.parametrize("change", [("db.example.com", "evil.example"), ("reader", "admin"), ("require", "disable")])
async def test_a_masked_password_is_not_sent_to_another_place(api, change):
    made = (await api("POST", "", POSTGRES))[1]
    status, told = await api("PUT", f"/{made['id']}", {"url": SHOWN.replace(*change)})
    assert status == 400
    assert "send the secret again" in told["message"]
    assert api.database.pings == 1
    assert (await api("PUT", f"/{made['id']}", {"url": URL.replace(*change)}))[0] == 200


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, ["name"]),
        ({**POSTGRES, "provider": "oracle"}, ["provider"]),
        ({**POSTGRES, "url": None}, ["url"]),
        ({**POSTGRES, "url": "mysql://u:hunter2@db/x"}, ["url"]),
        ({**POSTGRES, "url": SHOWN}, ["url"]),
        ({**POSTGRES, "url": 7}, ["url"]),
        ({"provider": "postgres", "name": "n", "credentials": {}}, ["credentials"]),
        ({**SNOWFLAKE, "credentials": None, "url": URL}, ["url"]),
        ({**SNOWFLAKE, "credentials": {}}, ["credentials", "account"]),
        ({**SNOWFLAKE, "credentials": {**LOGIN, "password": None}}, ["credentials", "password"]),
        (
            {**SNOWFLAKE, "credentials": {**LOGIN, "account": "evil.com/#"}},
            ["credentials", "account"],
        ),
        ({**SNOWFLAKE, "credentials": {**LOGIN, "port": 0}}, ["credentials", "port"]),
        ({**BIGQUERY, "credentials": {**SERVICE_ACCOUNT, "type": "external_account"}}, ["credentials", "type"]),
        ({**BIGQUERY, "credentials": {**SERVICE_ACCOUNT, "private_key": "x"}}, ["credentials", "private_key"]),
        (
            {**BIGQUERY, "credentials": {**SERVICE_ACCOUNT, "token_uri": "file:///etc"}},
            ["credentials", "token_uri"],
        ),
    ],
)
async def test_what_is_wrong_is_named_by_its_field(api, body, path):
    status, told = await api("POST", "", body)
    assert status == 400, told
    assert path in [fault["path"] for fault in told["errors"]]
    assert api.database.pings == 0


async def test_a_provider_is_not_changed(api):
    made = (await api("POST", "", POSTGRES))[1]
    status, told = await api("PUT", f"/{made['id']}", {"provider": "mysql"})
    assert (status, told["errors"][0]["code"]) == (400, "unchangeable")


async def test_a_ping_keeps_what_it_found_and_tells_what_failed(api):
    made = (await api("POST", "", POSTGRES))[1]
    api.database.warnings = []
    status, pinged = await api("POST", f"/{made['id']}/ping")
    assert (status, pinged["warnings"]) == (200, [])
    api.database.failure = denied("locked out")
    assert (await api("POST", f"/{made['id']}/ping"))[0] == 422
    assert await api("GET", f"/{made['id']}") == (200, pinged)


async def test_a_database_that_is_silent_is_given_up_and_told_to_stop(api):
    api.database.waits = threading.Event()
    api.pinger._wait_s_max = 0.05
    status, told = await api("POST", "", POSTGRES)
    assert status == 422
    assert "did not answer" in told["message"]
    assert await asyncio.to_thread(api.database.cancelled.wait, 60)
    api.database.waits.set()


async def test_one_account_has_so_many_pings_at_once_and_others_are_served(api):
    api.database.waits = threading.Event()
    pinging = [asyncio.create_task(api("POST", "", POSTGRES)) for _ in range(PINGS_OF_AN_ACCOUNT_MAX)]
    while api.database.pings < PINGS_OF_AN_ACCOUNT_MAX:
        await asyncio.sleep(0.01)
    assert (await api("POST", "", POSTGRES))[0] == 429
    api.database.waits.set()
    assert {status for status, _ in await asyncio.gather(*pinging)} == {201}
    assert (await api("POST", "", POSTGRES))[0] == 201


async def test_other_worlds_see_and_change_nothing(api):
    made = (await api("POST", "", POSTGRES))[1]
    stranger = api.new_key(World(api.world.account_id, Mode.PROD), Scope.ADMIN)
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/ping")):
        assert (await api(method, f"/{made['id']}{path}", {}, key=stranger))[0] == 404
    assert (await api("GET", "", key=stranger))[1]["data"] == []
    assert await api("GET", f"/{made['id']}") == (200, made)


async def test_who_may_write_may_ping_and_no_more(api):
    made = (await api("POST", "", POSTGRES))[1]
    writer = api.new_key(api.world, Scope.WRITE, Scope.READ)
    assert (await api("POST", f"/{made['id']}/ping", key=writer))[0] == 200
    for method, path in (("POST", ""), ("PUT", f"/{made['id']}"), ("DELETE", f"/{made['id']}")):
        assert (await api(method, path, POSTGRES, key=writer))[0] == 403


async def test_what_is_used_stays_and_what_is_not_goes(api):
    made = (await api("POST", "", POSTGRES))[1]
    api.use.by = "dataloader ldr_1"
    status, told = await api("DELETE", f"/{made['id']}")
    assert status == 409
    assert "dataloader ldr_1" in told["message"]
    api.use.by = None
    assert (await api("DELETE", f"/{made['id']}"))[0] == 204
    assert (await api("GET", f"/{made['id']}"))[0] == 404


async def test_a_lost_key_is_told_and_the_password_sent_again_mends_it(api):
    made = (await api("POST", "", POSTGRES))[1]
    api.keys.those = GivenKeys([new_key()], "the test")
    status, told = await api("POST", f"/{made['id']}/ping")
    assert status == 422
    assert "save the connection again with its password" in told["message"]
    assert "the test" not in told["message"], "where keys lie is the operator's to know"
    assert (await api("PUT", f"/{made['id']}", {"url": SHOWN}))[0] == 422
    assert (await api("PUT", f"/{made['id']}", {"name": "renamed"}))[0] == 200
    assert (await api("PUT", f"/{made['id']}", {"url": URL}))[0] == 200
    assert (await api("POST", f"/{made['id']}/ping"))[0] == 200


async def test_without_any_key_nothing_is_asked_and_the_operator_is_told(api):
    api.keys.those = NoKeys("set METERLINE_SECRETS_KEY at /private/place")
    with capture_logs() as logged:
        status, told = await api("POST", "", POSTGRES)
    assert status == 503
    assert "/private/place" not in told["message"]
    assert api.database.pings == 0
    assert "/private/place" in logged[0]["reason"]


async def test_a_create_sent_again_makes_one_and_leaves_nothing_to_try_passwords_on(api):
    """The body's plain hash would let whoever reads the registry try passwords by the million."""
    body, again = json.dumps(POSTGRES), {"Idempotency-Key": "connect-0123456789"}
    made = await api("POST", "", POSTGRES, **again)
    assert await api("POST", "", POSTGRES, **again) == made
    assert (await api("POST", "", {**POSTGRES, "name": "other"}, **again))[0] == 417
    assert api.database.pings == 1
    with api.registry.reading() as connection:
        (kept,) = connection.execute(kept_answers.select()).all()
    plain = hashlib.sha256(f"POST /v1/connections\n{body}".encode()).hexdigest()
    assert kept.fingerprint != plain
    assert b"hunter2" not in kept.body
