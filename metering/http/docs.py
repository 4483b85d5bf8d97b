"""`GET /openapi.json` and `GET /docs`: what this process serves, told from the table that serves it."""

import json
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from importlib.resources import files
from itertools import groupby

from aiohttp import web
from jinja2 import Environment, StrictUndefined, Template

from metering.http.openapi import describe, operation_id
from metering.http.route import Call, Route
from metering.http.shapes import TEXT

TAG = "Description"
PAGE_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
}


def with_docs(routes: Sequence[Route], version: str) -> list[Route]:
    """Give the routes with two more, which describe all of them; neither needs a key."""
    docs = _Docs(version)
    docs.routes = [
        *routes,
        Route(
            "GET",
            "/openapi.json",
            None,
            docs.openapi,
            "This description, for programs",
            TAG,
            answer={"type": "object", "additionalProperties": True},
        ),
        Route("GET", "/docs", None, docs.page, "This description, to read", TAG, answer=TEXT, answer_type="text/html"),
    ]
    return docs.routes


class _Docs:
    """Rendered when somebody first asks, and kept."""

    def __init__(self, version: str) -> None:
        self._version = version
        self.routes: list[Route] = []

    @cached_property
    def _document(self) -> bytes:
        return json.dumps(describe(self.routes, self._version), indent=1).encode()

    @cached_property
    def _page(self) -> str:
        return render(self.routes, self._version)

    async def openapi(self, _call: Call) -> web.Response:
        return web.Response(body=self._document, content_type="application/json")

    async def page(self, _call: Call) -> web.Response:
        return web.Response(text=self._page, content_type="text/html", headers=PAGE_HEADERS)


def render(routes: Sequence[Route], version: str) -> str:
    """Give the page: the routes by tag, each with its scope, parameters and fields."""
    by_tag = groupby(sorted(routes, key=lambda route: route.tag), key=lambda route: route.tag)
    order = list(dict.fromkeys(route.tag for route in routes))
    tags = sorted(((tag, list(some)) for tag, some in by_tag), key=lambda pair: order.index(pair[0]))
    return _template().render(tags=tags, version=version, anchor=operation_id, fields=_fields)


def _fields(shape: Mapping[str, object] | None) -> list[str]:
    """Name the fields of an object, of a list's items, or of a page's data."""
    if shape is None:
        return []
    inner = shape.get("items")
    if isinstance(inner, Mapping):
        return _fields(inner)
    properties = shape.get("properties")
    if not isinstance(properties, Mapping):
        return []
    data = properties.get("data")
    return _fields(data) if "meta" in properties and isinstance(data, Mapping) else list(properties)


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((files("metering.http") / "docs.html").read_text(encoding="utf-8"))
