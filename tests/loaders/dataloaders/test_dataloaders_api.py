"""What clients may ask of dataloaders, and what they are told."""

import asyncio
import threading

import pytest

from loaders.dataloaders.tables import dataloaders
from loaders.errors import QueryError, SourceUnavailableError
from loaders.source import Column, Kind
from metering.world import Mode, World
from tests.loaders.dataloaders.conftest import make_account, make_connection
from tests.loaders.listed_source import a_row

EVERY = "/v1/dataloaders"


async def test_what_was_created_comes_back_and_is_due_at_once(api, wanted):
    status, made = await api("POST", EVERY, wanted(name="calls"))
    assert (status, made["status"], made["next_run_at"]) == (201, "active", made["created_at"])
    assert await api("GET", f"{EVERY}/{made['id']}") == (200, made)
    _, listed = await api("GET", f"{EVERY}?event_type=call&take=1")
    assert listed == {"meta": {"total": 1, "taken": 1, "skipped": 0}, "data": [made]}
    assert (await api("GET", f"{EVERY}?event_type=other"))[1]["data"] == []


@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        ({"refresh_interval": "2h"}, "refresh_interval", "5m, 15m, 30m, 1h, 3h, 6h, 12h, 24h"),
        ({"cron": "* * * * *"}, "cron", "exclude each other"),
        ({"refresh_interval": None, "cron": "61 * * * *"}, "cron", "61"),
        ({"refresh_interval": None, "cron": "0 0 30 2 *"}, "cron", "is no cron expression"),
        ({"refresh_interval": None, "cron": "@hourly"}, "cron", "has not 5 fields"),
        ({"event_type": ""}, "event_type", "1 to 255"),
        ({"event_type": "a\nb"}, "event_type", "control"),
        ({"query": None}, "query", "id, customerId, timestamp"),
        ({"query": "SELECT 1 -- " + "x" * 20_000}, "query", "20000"),
        ({"query": "SELECT {{last_run}}"}, "query", "{{last_run_at}} and {{cursor}}"),
        ({"query": "SELECT {{cursor}}"}, "cursor_column", "the query names {{cursor}}"),
        ({"query": "SELECT {{cursor}}", "cursor_column": "id"}, "cursor_start", "the query names {{cursor}}"),
        ({"cursor_start": 0}, "cursor_column", "cursor_start is given"),
        ({"cursor_column": "id", "cursor_start": True}, "cursor_start", "must be a number or text"),
        ({"cursor_column": "id", "cursor_start": "2026-02-30"}, "cursor_start", "is no instant"),
        ({"connection_id": None}, "connection_id", "is needed"),
    ],
)
async def test_a_bad_field_is_named_with_the_remedy(api, wanted, changes, field, told):
    """400, and nothing is kept."""
    status, answer = await api("POST", EVERY, wanted(**changes))
    assert (status, [fault["path"] for fault in answer["errors"]]) == (400, [[field]])
    assert told in answer["message"]
    assert (await api("GET", EVERY))[1]["meta"]["total"] == 0


async def test_a_query_that_writes_is_refused_in_the_guards_words(api, wanted):
    for path, body in ((EVERY, wanted(query="DELETE FROM calls")), (f"{EVERY}/preview", wanted(query="DROP TABLE a"))):
        status, answer = await api("POST", path, body)
        assert (status, answer["errors"][0]["path"]) == (422, ["query"])


async def test_a_connection_of_another_world_is_none(api, wanted, registry, account):
    """Whether it is another account's, or this one's in the other mode."""
    stranger, other_mode = make_account(registry), World(account.account_id, Mode.PROD)
    for world in (stranger, other_mode):
        body = wanted(connection_id=make_connection(registry, world))
        for path in (EVERY, f"{EVERY}/preview"):
            status, answer = await api("POST", path, body)
            assert (status, answer["errors"][0]["path"]) == (404, ["connection_id"])


async def test_another_world_finds_none_of_it(api, wanted, new_key, registry, account):
    _, made = await api("POST", EVERY, wanted())
    await api("POST", f"{EVERY}/{made['id']}/run")
    _, runs = await api("GET", f"{EVERY}/{made['id']}/runs")
    for world in (make_account(registry), World(account.account_id, Mode.PROD)):
        key, one = new_key(world), f"{EVERY}/{made['id']}"
        assert (await api("GET", EVERY, key=key))[1]["data"] == []
        for method, path in (
            ("GET", one),
            ("PUT", one),
            ("DELETE", one),
            ("POST", one + "/run"),
            ("GET", one + "/runs"),
            ("GET", f"{one}/runs/{runs['data'][0]['id']}"),
        ):
            assert (await api(method, path, {} if method == "PUT" else None, key=key))[0] == 404
    assert (await api("GET", f"{EVERY}/{made['id']}"))[0] == 200


async def test_a_run_that_waits_or_goes_on_is_the_only_one(api, wanted):
    """409, until it has ended."""
    _, made = await api("POST", EVERY, wanted(refresh_interval=None))
    status, begun = await api("POST", f"{EVERY}/{made['id']}/run", {"from_start": True})
    assert (status, begun["status"]) == (202, "pending")
    assert (await api("POST", f"{EVERY}/{made['id']}/run"))[0] == 409
    _, run = await api("GET", f"{EVERY}/{made['id']}/runs/{begun['id']}")
    assert (run["trigger"], run["from_start"], run["rows_read"], run["cursor"]) == ("manual", True, 0, None)
    assert (await api("GET", f"{EVERY}/{made['id']}/runs?status=done"))[1]["data"] == []


async def test_a_run_is_begun_as_asked_with_an_idempotency_key_too(api, wanted):
    """What reads the body before the handler takes nothing of it away."""
    _, made = await api("POST", EVERY, wanted(refresh_interval=None))
    path, repeated = f"{EVERY}/{made['id']}/run", {"Idempotency-Key": "run-0123456789abcdef"}
    status, begun = await api("POST", path, {"from_start": True}, **repeated)
    assert status == 202
    assert (await api("GET", f"{path}s/{begun['id']}"))[1]["from_start"]
    assert await api("POST", path, {"from_start": True}, **repeated) == (202, begun)


async def test_pausing_leaves_nothing_due_and_resuming_makes_it_due_at_once(api, wanted, clock):
    _, made = await api("POST", EVERY, wanted())
    one = f"{EVERY}/{made['id']}"
    assert (await api("PUT", one, {"status": "paused"}))[1]["next_run_at"] is None
    clock.passes(hours=5)
    resumed = (await api("PUT", one, {"status": "active"}))[1]
    assert resumed["next_run_at"] == resumed["updated_at"]


async def test_a_cron_is_due_at_its_next_moment_in_utc(api, wanted):
    _, made = await api("POST", EVERY, wanted(refresh_interval=None, cron="15 4 * * *"))
    assert made["next_run_at"] == "2026-02-01T04:15:00.000Z"


async def test_another_cursor_column_begins_anew_and_another_name_does_not(api, wanted, registry, clock):
    """What was read by one column says nothing of another."""
    body = wanted(cursor_column="id", cursor_start=0)
    _, made = await api("POST", EVERY, body)
    one = f"{EVERY}/{made['id']}"
    with registry.writing() as connection:
        saved = {"cursor": {"kind": "number", "value": 7}, "last_run_at": clock()}
        connection.execute(dataloaders.update().values(**saved))
    assert (await api("PUT", one, {"name": "other"}))[1]["cursor"] == 7
    changed = (await api("PUT", one, {"cursor_column": "seq"}))[1]
    assert (changed["cursor"], changed["last_run_at"]) == (None, None)


async def test_a_deleted_one_is_gone_with_its_runs(api, wanted):
    _, made = await api("POST", EVERY, wanted())
    await api("POST", f"{EVERY}/{made['id']}/run")
    assert (await api("DELETE", f"{EVERY}/{made['id']}"))[0] == 204
    assert (await api("GET", f"{EVERY}/{made['id']}/runs"))[0] == 404


async def test_a_preview_shows_five_rows_exactly(api, wanted, sources):
    status, shown = await api("POST", f"{EVERY}/preview", wanted())
    assert (status, shown["missing"], shown["rejected"], len(shown["rows"])) == (200, [], [], 5)
    assert shown["columns"][0] == {"name": "id", "type": "bigint"}
    assert shown["rows"][0] == {
        "id": 1,
        "customerId": "acme",
        "timestamp": "2026-01-01T00:00:01.000000Z",
        "amount": shown["rows"][0]["amount"],
    }
    assert str(shown["rows"][0]["amount"]) == "1.5"
    assert sources.source.closed


async def test_a_preview_tells_what_is_missing_and_how_to_quote_it(api, wanted, sources):
    sources.source.columns = (Column("id", "int", Kind.NUMBER), Column("customerid", "text"), Column("at", "date"))
    sources.source.rows = [a_row(1)[:3]]
    _, shown = await api("POST", f"{EVERY}/preview", wanted())
    assert shown["missing"] == ["customerId", "timestamp"]
    assert 'there is "customerid"' in shown["advice"][0]
    assert 'AS "customerId"' in shown["advice"][0]


async def test_a_preview_tells_which_rows_would_be_rejected(api, wanted, sources):
    sources.source.rows = [a_row(1), (*a_row(2)[:3], "1e99")]
    _, shown = await api("POST", f"{EVERY}/preview", wanted())
    (rejected,) = shown["rejected"]
    assert (rejected["row"], rejected["id"], rejected["column"]) == (2, "2", "amount")


async def test_what_the_database_says_of_a_query_comes_back(api, wanted, sources):
    def refuse(_):
        raise QueryError('relation "calls" does not exist')

    sources.source.before = refuse
    status, answer = await api("POST", f"{EVERY}/preview", wanted())
    assert (status, answer["errors"][0]["path"]) == (422, ["query"])
    assert 'relation "calls" does not exist' in answer["message"]


async def test_the_scopes_are_those_of_reading_and_writing(table):
    scopes = {(route.method, route.path): route.scope.value for route in table if "dataloaders" in route.path}
    assert {scope for (method, _), scope in scopes.items() if method == "GET"} == {"read"}
    assert {scope for (method, _), scope in scopes.items() if method != "GET"} == {"write"}


async def test_a_preview_tells_no_password(api, wanted, sources):
    """Whatever a driver says of its address."""

    def refuse(_):
        raise SourceUnavailableError("postgres://me:s3cret-word@here does not answer")

    sources.url, sources.source.before = "postgres://me:s3cret-word@here/db", refuse
    status, answer = await api("POST", f"{EVERY}/preview", wanted())
    assert status == 422
    assert "s3cret-word" not in answer["message"]


async def test_previews_that_are_too_many_are_told_to_come_back(api, wanted, sources):
    """Two of an account may be under way."""
    held = threading.Event()
    sources.source.before = lambda _: held.wait(120)
    asked = [asyncio.create_task(api("POST", f"{EVERY}/preview", wanted())) for _ in range(2)]
    while len(sources.source.asked) < 2:
        await asyncio.sleep(0.01)
    status, _ = await api("POST", f"{EVERY}/preview", wanted())
    held.set()
    assert (status, [one[0] for one in await asyncio.gather(*asked)]) == (429, [200, 200])
