"""Send a request that changes something once: aiohttp repeats what is idempotent when its connection is cut.

HTTP lets a client repeat a DELETE or PUT (RFC 9110, 9.2.2), for the state is the same; the answer is not. The second
DELETE is told 404 though the first was carried out, and nobody learns that there were two. So whoever asked is told
that the connection was cut, and decides.
"""

import aiohttp

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110, 9.2.1): they may be repeated."""


class CutError(aiohttp.ClientError):
    """The connection was cut before an answer came: the request may have been carried out."""


async def send_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send what changes something without the client's own repetition: a middleware of `aiohttp.ClientSession`.

    Raises:
        CutError: it may have been carried out.
        aiohttp.ClientConnectorError: nothing was sent.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise  # aiohttp repeats none of these.
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if request.method in _SAFE:
            raise
        raise CutError(str(error) or type(error).__name__) from error
