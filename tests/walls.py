"""Walk every route of a table and try to get through the walls: without a key, with a bad one, from another world.

The caller gives real ids of things that the owner has, so that a 404 for a stranger means something: the owner's own
key must reach them, before and after.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from yarl import URL

from metering.http.route import Route
from metering.http.scope import Scope

Request = Callable[..., Awaitable[tuple[int, str, Mapping[str, str]]]]
"""`request(method, path, key)` gives status, body and headers; the path is encoded, the key None for none."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys to try. `scoped` are the owner's, one for each set of scopes that holds all but one and no admin."""

    owner: str
    strangers: Sequence[str]
    shut: Sequence[str]
    scoped: Mapping[Scope, str]


_ASKED = {"group-by-property": "property=id"}
"""What must be asked for, by the last segment of the path."""


def concrete(route: Route, samples: Mapping[str, str]) -> str:
    """Fill a route's path parameters in.

    A sample is named by the segment before the parameter and the parameter (`customers.id`), or the parameter alone.
    """
    out: list[str] = []
    before = ""
    for segment in route.path.split("/"):
        match = re.fullmatch(r"\{(\w+)(?::.*)?\}", segment)
        if match is None:
            before = segment
            out.append(segment)
        else:
            name = match.group(1)
            out.append(quote(samples.get(f"{before}.{name}", samples.get(name, "")), safe=""))
            assert out[-1], f"{route.path}: no sample for {before}.{name}"
    asked = _ASKED.get(out[-1])
    return "/".join(out) + (f"?{asked}" if asked else "")


async def assert_walls_hold(
    request: Request, routes: Iterable[Route], keys: Keys, samples: Mapping[str, str], markers: Sequence[str]
) -> None:
    """Try each route; `markers` are texts that only the owner may ever read."""
    guarded = [route for route in routes if route.scope is not None]
    before = await _seen_by_owner(request, guarded, keys, samples)
    for route in guarded:
        path = concrete(route, samples)
        await _shut_out(request, route, path, keys)
        for stranger in keys.strangers:
            status, body, headers = await request(route.method, path, stranger)
            what = f"{route.method} {path} by a stranger: {status} {body[:200]}"
            told = body + "".join(headers.values())
            # What the stranger sent may be repeated to it.
            assert not any(marker in told for marker in markers if marker not in unquote(path)), what
            assert status < 500, what
            if "{" in route.path:
                assert 400 <= status < 500, what
    after = await _seen_by_owner(request, guarded, keys, samples)
    changed = {path: (seen, after[path]) for path, seen in before.items() if after[path] != seen}
    assert not changed, f"a stranger changed something: {changed}"


async def _shut_out(request: Request, route: Route, path: str, keys: Keys) -> None:
    for key in (None, "nonsense", "test_" + "x" * 32, *keys.shut):
        status, body, headers = await request(route.method, path, key)
        assert status == 401, f"{route.method} {path} with {key}: {status}"
        assert "WWW-Authenticate" in headers
        assert '"message"' in body
    assert route.scope is not None
    if route.scope in keys.scoped:
        status, body, _ = await request(route.method, path, keys.scoped[route.scope])
        assert status == 403, f"{route.method} {path} without {route.scope}: {status}"
        assert f"'{route.scope.value}'" in body


async def _seen_by_owner(
    request: Request, routes: Iterable[Route], keys: Keys, samples: Mapping[str, str]
) -> dict[str, Any]:
    seen = {}
    for route in routes:
        if route.method != "GET":
            continue
        path = concrete(route, samples)
        status, body, _ = await request("GET", path, keys.owner)
        assert 200 <= status < 300, f"the owner cannot read {path}: {status} {body[:200]}"
        seen[path] = body
    return seen


def url_of(path: str) -> URL:
    """Give a path that is encoded already, as it is."""
    return URL(path, encoded=True)
