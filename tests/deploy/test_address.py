"""The one address as a client finds it: what `GET /openapi.json` lists is served there, and nothing else is said."""

import re
from dataclasses import fields

import aiohttp
import pytest

from deploy.core_part import Core, core_routes
from ingest.event_routes import PRICE_EVENT, event_routes
from ingest.gateway.gateway import Gateway, Neighbours

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def test_what_gateways_answer_is_in_the_one_table():
    """Routes, documentation and what is said of other methods come from it."""
    gateway = Gateway(Neighbours(None, None, None, None, None))
    own = {(route.method, route.path) for route in event_routes()}
    assert set(gateway.own) == own | {PRICE_EVENT}
    core = Core(**{each.name: None for each in fields(Core)})
    assert set(gateway.own) <= {(route.method, route.path) for route in core_routes(core)}


@pytest.mark.slow
async def test_every_route_that_is_described_is_served(product):
    """None is at a wrong path or behind a wrong method, and the other methods at its path are told what is served."""
    async with aiohttp.ClientSession(headers=_json(product.key)) as session:
        async with session.get(product.url + "/openapi.json") as answer:
            described = (await answer.json())["paths"]
        assert {"post", "get", "delete"} <= set(described["/v1/events"])
        for path, operations in described.items():
            served = {name.upper() for name in operations}
            served |= {"HEAD"} if "GET" in served else set()
            url = product.url + re.sub(r"\{\w+\}", "nothing", path)
            for method in sorted(METHODS):
                async with session.request(method, url, data=b"{") as answer:
                    told = await answer.text()
                    if method not in served:
                        assert answer.status == 405, (method, path, told)
                        assert set(answer.headers["Allow"].split(", ")) == served
                        continue
                    assert answer.status in {200, 201, 400, 404, 415}, (method, path, told)
                    assert "there is nothing at" not in told
                    assert (method == "HEAD") <= (told == "")


@pytest.mark.slow
async def test_a_path_is_found_however_it_is_spelled(product):
    """`%65` is an `e`, for those that gateways answer and for the others."""
    async with aiohttp.ClientSession(headers=_json(product.key)) as session:
        for path in ("/v1/%65vents", "/v1/customers", "/v1/%63ustomers"):
            url = aiohttp.client.URL(product.url + path, encoded=True)
            async with session.post(url, data=b"{") as answer:
                assert (answer.status, "malformed JSON" in await answer.text()) == (400, True), path


def _json(key):
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
