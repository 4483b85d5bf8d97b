"""Pass a request on to the core, over its Unix socket or to an API elsewhere, and the answer back, both as streams.

Bytes are neither kept nor changed: encodings stay as they are, and a slow reader slows the writer on the other side.
Headers that belong to one connection stay on it (RFC 9110, 7.6.1). When the client hangs up, the task is cancelled and
with it the request to the core.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from ingest.core_api import INTERNAL_HEADER, INTERNAL_PREFIX, SECRET_HEADER, SPOOLED_HEADER
from ingest.gateway.core_client import ON_SOCKET, CoreUrls
from metering.http.problem import ApiError, not_found, unavailable
from metering.http.send_once import CutError, send_once

CONNECTIONS_MAX = 256
CONNECT_WAIT_S_MAX = 10.0
"""How long a request may wait for a connection to the core, also because all are in use."""
SILENCE_S_MAX = 120.0
"""How long either side may send nothing."""
CHUNK_BYTES_MAX = 64 * 1024

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_REPLACED = frozenset({"expect", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"})
NOTHING_TOLD: Mapping[str, str] = MappingProxyType({})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def open_session(core: str | CoreUrls) -> aiohttp.ClientSession:
    """Make the session that `pass_on` and `CoreClient` use; cookies are the clients' own and not kept.

    `core` is the path of its Unix socket, or where APIs are; these are shown the secret with every request.
    """
    connector: aiohttp.BaseConnector
    if isinstance(core, CoreUrls):
        connector, secret = aiohttp.TCPConnector(limit=CONNECTIONS_MAX), {SECRET_HEADER: core.secret}
    else:
        connector, secret = aiohttp.UnixConnector(core, limit=CONNECTIONS_MAX), {}
    return aiohttp.ClientSession(
        connector=connector,
        headers=secret,
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_WAIT_S_MAX, sock_read=SILENCE_S_MAX),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        middlewares=(send_once,),
        skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        max_line_size=16_384,
        max_field_size=16_384,
    )


async def pass_on(
    session: aiohttp.ClientSession,
    request: web.BaseRequest,
    core: CoreUrls = ON_SOCKET,
    told: Mapping[str, str] = NOTHING_TOLD,
) -> web.StreamResponse:
    """Let the core answer; of several that one that can be connected to. `told` are headers of the gateway's own.

    Raises:
        ApiError: 404 for what is internal, 405 for methods that nobody serves, 503 when the core does not answer.
    """
    for base in core.in_turn():
        url = _url(base, request)
        body = _body(request) if request.can_read_body else None
        try:
            async with session.request(
                request.method, url, headers=_request_headers(request, told), data=body, allow_redirects=False
            ) as answer:
                return await _pass_back(answer, request)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            continue  # Nothing was sent, not a byte of the body was read.
        except CutError:
            raise unavailable(
                "the connection to the core was cut before it answered, so this may have been carried out: look, or "
                "send it again with the same Idempotency-Key"
            ) from None
        except (TimeoutError, aiohttp.ClientError) as error:
            raise unavailable(f"no answer came from the core ({type(error).__name__}): send again shortly") from None
    raise unavailable("starting or restarting: send again shortly")


async def _pass_back(answer: aiohttp.ClientResponse, request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_end_to_end(answer.headers))
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES_MAX):
            await response.write(chunk)
    except (TimeoutError, aiohttp.ClientError):
        # The head is out, so the only honest end is a cut connection: the client sees that something is missing.
        request.protocol.force_close()
        raise ConnectionResetError("the core stopped in the middle of an answer") from None
    await response.write_eof()
    return response


def _url(base: str, request: web.BaseRequest) -> URL:
    if request.method not in _METHODS:
        raise ApiError(405, f"{request.method[:20]} is not served here", headers={"Allow": ", ".join(sorted(_METHODS))})
    # The absolute form names a host, which is ours whatever it says; `//x` must not be read as one.
    path = request.raw_path if request.raw_path.startswith("/") else request.rel_url.raw_path_qs
    try:
        url = URL(f"{base}{path}", encoded=True)
    except ValueError:
        raise not_found("this is no path") from None
    if url.path.lower().startswith(INTERNAL_PREFIX):
        raise not_found(f"there is nothing at {url.path}")
    return url


def _request_headers(request: web.BaseRequest, told: Mapping[str, str]) -> CIMultiDict[str]:
    headers = _end_to_end(request.headers)
    for name in (*_REPLACED, INTERNAL_HEADER, SECRET_HEADER, SPOOLED_HEADER, *told):
        headers.popall(name, None)
    headers.update(told)
    headers["X-Forwarded-For"] = request.remote or "unknown"
    headers["X-Forwarded-Proto"] = request.headers.get("X-Forwarded-Proto", "http")
    headers["X-Forwarded-Host"] = request.host
    return headers


def _end_to_end(sent: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Give the headers that are meant for the other end."""
    named = {name.strip().lower() for value in sent.getall("Connection", ()) for name in value.split(",")}
    return CIMultiDict(
        (name, value) for name, value in sent.items() if name.lower() not in HOP_BY_HOP and name.lower() not in named
    )


async def _body(request: web.BaseRequest) -> AsyncIterator[bytes]:
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    while True:
        async with asyncio.timeout(SILENCE_S_MAX):
            chunk = await request.content.readany()
        if not chunk:
            return
        yield chunk
