from datetime import UTC, datetime, timedelta

import pytest
from aiohttp.test_utils import TestClient

from metering.http.route import Route
from metering.http.scope import Scope
from metering.registry.accounts import create_account
from metering.registry.keys import find_key_by_secret, revoke_key
from metering.world import Mode, World
from tests.walls import Keys, assert_walls_hold, concrete, url_of


@pytest.fixture
def keys(registry, account, new_key, clock, api) -> Keys:
    """The owner's key, keys of another account and of the other mode, shut keys, and keys that lack one scope."""
    now = datetime.now(UTC)
    with registry.writing() as connection:
        stranger = World(create_account(connection, "stranger", now).id, Mode.TEST)
    revoked, expired = new_key(), new_key(expires_at=now + timedelta(seconds=1))
    with registry.writing() as connection:
        revoke_key(connection, find_key_by_secret(connection, revoked).id, now)
    clock.moment = now + timedelta(minutes=1)
    scoped = {
        scope: new_key(scopes=[other for other in Scope if other not in {scope, Scope.ADMIN}])
        for scope in (Scope.READ, Scope.WRITE, Scope.INGEST)
    }
    strangers = [new_key(stranger), new_key(World(account.account_id, Mode.PROD))]
    return Keys(api.key, strangers, [revoked, expired], scoped)


@pytest.fixture
async def samples(api, account, usage) -> dict[str, str]:
    """One of everything the owner has."""
    customer = (await api.post("/v1/customers", {"external_id": "marker/external", "name": "marker-name"})).json
    body = {"name": "marker-aggregator", "entity": "marker/type", "operation": "count"}
    aggregator = (await api.post("/v1/aggregators", body)).json
    event = {"event_type": "marker/type", "record_id": "marker/record", "customer_id": "marker/external"}
    await usage.add(account, event)
    return {
        "customers.id": customer["external_id"],
        "aggregators.id": aggregator["id"],
        "aggregator_id": aggregator["id"],
        "event_type": "marker/type",
        "record_id": "marker/record",
    }


@pytest.mark.slow
async def test_nobody_gets_through_the_walls(client: TestClient, table, keys, samples, account):
    """Every route: 401 without a good key, 403 without the scope, nothing of another account's or mode's."""

    async def request(method: str, path: str, key: str | None):
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with client.request(method, url_of(path), headers=headers, json={}) as response:
            return response.status, await response.text(), response.headers

    markers = ["marker", samples["aggregator_id"], account.account_id]
    await assert_walls_hold(request, table, keys, samples, markers)


async def test_the_walls_would_notice_a_hole(table, keys, samples):
    """A route that answers everybody fails the walk."""

    async def leak(_method: str, _path: str, _key: str | None):
        return 200, '{"message": "marker"}', {"WWW-Authenticate": ""}

    with pytest.raises(AssertionError):
        await assert_walls_hold(leak, table, keys, samples, ["marker"])


def test_samples_fill_a_path_by_the_segment_before():
    """So that `{id}` may mean a customer here and an aggregator there."""
    route = Route("GET", "/v1/a/{id}/b/{id}", Scope.READ, None, "", "")
    assert concrete(route, {"a.id": "x/y", "id": "z"}) == "/v1/a/x%2Fy/b/z"


async def test_a_key_may_come_as_the_user_of_basic_credentials(client: TestClient, api):
    """As the documentation has it, with an empty password."""
    import base64

    credentials = base64.b64encode(f"{api.key}:".encode()).decode()
    async with client.get("/v1/customers", headers={"Authorization": f"Basic {credentials}"}) as response:
        assert response.status == 200
