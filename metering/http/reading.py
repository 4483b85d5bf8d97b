"""Read a request's body within its limits, whatever its encoding claims."""

import sys
import zlib
from collections.abc import Callable
from typing import Any

from aiohttp import web

from metering.http.json import MalformedJsonError, loads
from metering.http.problem import invalid, too_large, unsupported

BODY_BYTES_MAX = 32 * 1024 * 1024

BODY = web.RequestKey("body", bytes)
"""Where a body that was read before its handler runs is left for it."""

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_ZSTD_OPTIONS: dict[int, int] = {
    zstd.DecompressionParameter.window_log_max: 25
}  # A frame may not ask for more than 32 MiB of window.


async def read_body(request: web.BaseRequest, grow: Callable[[int], None] | None = None) -> bytes:
    """Give the whole body, decompressed. `grow` is told of each part of a body whose length was not declared.

    The application must be served with `auto_decompress=False`, so that limits hold on what comes out.

    Raises:
        ApiError: 413 over `BODY_BYTES_MAX`, 415 for an unknown encoding, 400 for bytes that do not decompress.
    """
    if BODY in request:
        return request[BODY]
    raw = await _read_raw(request, grow)
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return raw
    if encoding == "gzip":
        return _gunzip(raw)
    if encoding == "zstd":
        return _unzstd(raw)
    raise unsupported(f"Content-Encoding {encoding[:40]!r} is not read here: send gzip, zstd or none")


def require_json(request: web.BaseRequest) -> None:
    """Refuse a body that says it is something else than JSON; saying nothing is fine.

    Raises:
        ApiError: 415.
    """
    declared = request.headers.get("Content-Type")
    if declared is None or declared == "application/json":
        return
    kind = declared.partition(";")[0].strip().lower()
    if kind not in {"", "application/json", "text/json"} and not kind.endswith("+json"):
        raise unsupported(f"Content-Type {kind[:60]!r} is not read here: send application/json")


async def read_json(request: web.BaseRequest) -> Any:
    """Give the body as JSON, numbers exact.

    Raises:
        ApiError: 400, 413 or 415 with what is wrong.
    """
    require_json(request)
    body = await read_body(request)
    try:
        return loads(body)
    except MalformedJsonError as error:
        raise invalid(f"malformed JSON: {error}") from None


async def read_object(request: web.BaseRequest) -> dict[str, Any]:
    """Give the body as a JSON object.

    Raises:
        ApiError: as `read_json`, and 400 when it is something else than an object.
    """
    value = await read_json(request)
    if not isinstance(value, dict):
        raise invalid(f"the body must be a JSON object, this is {_kind(value)}")
    return value


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


async def _read_raw(request: web.BaseRequest, grow: Callable[[int], None] | None) -> bytes:
    declared = request.content_length
    if declared is not None and declared > BODY_BYTES_MAX:
        raise too_large(_over(declared))
    body = await request.content.read(-1) if declared is not None else await _read_chunked(request, grow)
    if len(body) > BODY_BYTES_MAX:
        raise too_large(_over(len(body)))
    return body


async def _read_chunked(request: web.BaseRequest, grow: Callable[[int], None] | None) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise too_large(_over(size))
        if grow is not None:
            grow(len(chunk))
    return b"".join(parts)


def _over(size: int) -> str:
    return f"the request has at least {size} bytes; {BODY_BYTES_MAX} decompressed is the most: send less at once"


def _gunzip(raw: bytes) -> bytes:
    out = bytearray()
    rest = raw
    members = 0
    while rest:
        members += 1
        if members > 16:
            raise invalid("the gzip body has more than 16 members: compress it in one go")
        unzip = zlib.decompressobj(wbits=31)
        try:
            out += unzip.decompress(rest, BODY_BYTES_MAX + 1 - len(out))
        except zlib.error as error:
            raise invalid(f"the body does not decompress as gzip: {error}") from None
        if len(out) > BODY_BYTES_MAX:
            raise too_large(_over(len(out)))
        if not unzip.eof:
            raise invalid("the gzip body is cut short: send it whole")
        rest = unzip.unused_data
    return bytes(out)


def _unzstd(raw: bytes) -> bytes:
    out = bytearray()
    rest = raw
    frames = 0
    while rest:
        frames += 1
        if frames > 16:
            raise invalid("the zstd body has more than 16 frames: compress it in one go")
        unzip = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
        try:
            out += unzip.decompress(rest, BODY_BYTES_MAX + 1 - len(out))
            while not unzip.eof and not unzip.needs_input and len(out) <= BODY_BYTES_MAX:
                out += unzip.decompress(b"", BODY_BYTES_MAX + 1 - len(out))
        except zstd.ZstdError as error:
            raise invalid(f"the body does not decompress as zstd: {error}") from None
        if len(out) > BODY_BYTES_MAX:
            raise too_large(_over(len(out)))
        if not unzip.eof:
            raise invalid("the zstd body is cut short: send it whole")
        rest = unzip.unused_data
    return bytes(out)
