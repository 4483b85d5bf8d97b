"""From a connection's credentials to a session that Google lets in: nothing of a user's reaches the client unread.

A service account's key lets in, and nothing else does: the other kinds of credentials name addresses and files of their
own. Keys name the address that gives tokens, too: only Google's is taken, or one of the host that `api_endpoint` names.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession, Request
from google.oauth2 import service_account
from requests.adapters import HTTPAdapter

from loaders.errors import SourceDeniedError
from loaders.gate import Gate
from loaders.hosts import on_this_machine

API = "https://bigquery.googleapis.com"
TOKENS = "https://oauth2.googleapis.com/token"
SCOPES = (
    "https://www.googleapis.com/auth/bigquery",
    "https://www.googleapis.com/auth/cloud-platform.read-only",  # To ask what the account may do.
)
RIGHTS = "https://cloudresourcemanager.googleapis.com"
ANSWER_BYTES_MAX = 16 * 1024 * 1024
"""Of an answer about a job or a token; pages of rows are read apart from it."""
_PROJECT_CHARACTERS_MAX = 100


@dataclass(frozen=True, slots=True)
class Login:
    """Credentials that were read and found whole. `key` is None where nobody is asked for one: on plain HTTP alone."""

    project: str
    endpoint: str
    location: str | None
    bytes_billed_max: int | None
    key: service_account.Credentials | None = field(repr=False)

    @property
    def in_clear(self) -> bool:
        """Tell whether anyone on the way reads rows and tokens."""
        return self.endpoint.startswith("http://") and not on_this_machine(urlsplit(self.endpoint).hostname or "")

    @property
    def hosts(self) -> tuple[str, str]:
        """Give the hosts without which nothing goes: of the interface, and of tokens."""
        tokens = TOKENS if self.endpoint == API else self.endpoint
        return urlsplit(self.endpoint).hostname or "", urlsplit(tokens).hostname or ""

    @property
    def rights(self) -> str:
        """Give where it is asked what the account may do."""
        return RIGHTS if self.endpoint == API else self.endpoint

    def session(self, gate: Gate) -> AuthorizedSession:
        """Give a session that reaches everything through the gate, and asks for tokens when it needs them."""
        tokens = _through(requests.Session(), gate)
        held = self.key or AnonymousCredentials()  # type: ignore[no-untyped-call]
        asking = Request(tokens)
        session = AuthorizedSession(held, auth_request=asking)  # type: ignore[no-untyped-call]
        _through(session, gate)
        return session


def read_login(credentials: Mapping[str, Any]) -> Login:
    """Read and check credentials: the JSON of a service account's key, and ours beside it.

    Raises:
        SourceDeniedError: a field is missing or cannot be; the message names it.
    """
    endpoint = _endpoint(_text(credentials, "api_endpoint"))
    key = None
    if _text(credentials, "private_key") or endpoint.startswith("https://"):
        key = _key(credentials, endpoint)
    project = _text(credentials, "project") or _text(credentials, "project_id")
    if (
        not project
        or len(project) > _PROJECT_CHARACTERS_MAX
        or not all(one.isalnum() or one in "-.:_" for one in project)
    ):
        raise SourceDeniedError("credentials.project is missing or no project's id: give the one that pays for queries")
    location = _text(credentials, "location")
    if not all(one.isalnum() or one == "-" for one in location):
        raise SourceDeniedError(f"credentials.location is {location!r}: give one such as EU or europe-west1")
    return Login(project, endpoint, location or None, _bytes_billed_max(credentials), key)


def _key(credentials: Mapping[str, Any], endpoint: str) -> service_account.Credentials:
    kind = _text(credentials, "type")
    if kind != "service_account":
        raise SourceDeniedError(
            f"credentials.type is {kind!r}: give the JSON of a service account's key, whose type is service_account"
        )
    universe = _text(credentials, "universe_domain") or "googleapis.com"
    if universe != "googleapis.com":
        raise SourceDeniedError(f"credentials.universe_domain is {universe!r}: only googleapis.com is taken")
    tokens = _text(credentials, "token_uri") or TOKENS
    if tokens != TOKENS and (endpoint == API or not tokens.startswith(f"{endpoint}/")):
        raise SourceDeniedError(f"credentials.token_uri is {tokens!r}: only {TOKENS} is taken")
    for name in ("client_email", "private_key"):
        if not _text(credentials, name):
            raise SourceDeniedError(f"credentials.{name} is missing: give the whole JSON of the service account's key")
    known = {name: credentials[name] for name in ("type", "client_email", "private_key")}
    try:
        return service_account.Credentials.from_service_account_info(  # type: ignore[no-any-return,no-untyped-call]
            known | {"token_uri": tokens}, scopes=SCOPES
        )
    except (ValueError, TypeError):
        raise SourceDeniedError(
            "credentials.private_key cannot be read: give it as it stands in the JSON, from -----BEGIN to the end"
        ) from None


def _endpoint(given: str) -> str:
    if not given:
        return API
    parts = urlsplit(given)
    if (
        parts.scheme not in {"https", "http"}
        or not parts.hostname
        or parts.path.strip("/")
        or parts.query
        or parts.username
    ):
        raise SourceDeniedError(f"credentials.api_endpoint is {given!r}: give https:// and a host, without a path")
    return f"{parts.scheme}://{parts.netloc}"


def _bytes_billed_max(credentials: Mapping[str, Any]) -> int | None:
    given = credentials.get("maximum_bytes_billed")
    if given is None or given == "":
        return None
    if isinstance(given, str) and given.isdecimal():
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise SourceDeniedError(f"credentials.maximum_bytes_billed is {given!r}: give a number of bytes")
    return given


def _text(credentials: Mapping[str, Any], name: str) -> str:
    value = credentials.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SourceDeniedError(f"credentials.{name} has to be text")
    return value.strip() if name != "private_key" else value


class _Bounded(HTTPAdapter):
    """Reads no more of an answer than it may have, compressed or not: Google's client takes in all that comes."""

    def send(
        self, request: requests.PreparedRequest, stream: bool = False, *more: Any, **named: Any
    ) -> requests.Response:
        response = super().send(request, True, *more, **named)
        if not stream:
            body = response.raw.read(ANSWER_BYTES_MAX + 1, decode_content=True)
            response.raw.close()
            if len(body) > ANSWER_BYTES_MAX:
                raise requests.exceptions.ContentDecodingError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
            response.raw = io.BytesIO(body)
        return response


def _through(session: requests.Session, gate: Gate) -> requests.Session:
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Bounded())
    session.trust_env = False  # Neither proxies nor passwords of the machine's.
    session.proxies = {"http": gate.url, "https": gate.url}
    return session
