"""One table of routes: what serves them, what they need, and what they are, cannot disagree.

A route names its scope; `scope=None` means that no key is needed. A handler gets a `Call` and returns a response or
raises an `ApiError`.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from metering.http.problem import unauthorized
from metering.http.scope import Scope
from metering.http.shapes import LINE, Shape
from metering.world import World


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: the key, whose world it opens, and what it may do there."""

    key_id: str
    world: World
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, already let in."""

    request: web.Request
    principal: Principal | None

    @property
    def world(self) -> World:
        """Whose data this call may touch: it comes from the key alone."""
        if self.principal is None:
            raise unauthorized("an API key is needed")
        return self.principal.world

    @property
    def key_id(self) -> str | None:
        """The id of the caller's key."""
        return None if self.principal is None else self.principal.key_id

    def path(self, name: str) -> str:
        """Give a path parameter, URL-decoded."""
        return self.request.match_info[name]

    def query(self, name: str) -> str | None:
        """Give a query parameter's last value, None when it is absent or empty."""
        values = self.request.query.getall(name, [])
        return values[-1] or None if values else None


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter, for the API's description. An empty text is the same as none."""

    name: str
    description: str
    shape: Shape = field(default_factory=lambda: LINE)


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path. `path` is aiohttp's form: `/v1/customers/{id}`.

    `body` and `answer` are JSON Schema fragments for the API's description, None where there is none; `body_type` and
    `answer_type` are their content types. `tag` groups routes there. `status` is the answer's when all goes well,
    `failures` are its others: None for those that routes of its kind have.
    """

    method: str
    path: str
    scope: Scope | None
    handler: Handler
    summary: str
    tag: str
    status: int = 200
    parameters: Sequence[Parameter] = ()
    body: dict[str, object] | None = None
    answer: dict[str, object] | None = None
    body_type: str = "application/json"
    answer_type: str = "application/json"
    other_answer_types: Sequence[str] = ()
    """Content types of files that may come in place of the answer."""
    failures: Sequence[int] | None = None
    minimal_answer: bool = False
    """Whether it heeds `Prefer: return=minimal`."""
    secret_body: bool = False
    """Whether passwords are sent to it: then nothing is kept that guesses could quickly be compared with."""
