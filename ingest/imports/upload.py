"""Take a file out of a multipart request as a stream: bounded in size, in silence, and in what lies around it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.multipart import BodyPartReader, MultipartReader

from metering.http.problem import ApiError, invalid, invalid_field, too_large, unsupported

FILE_BYTES_MAX = 512 * 1024 * 1024
FIELD = "file"
PARTS_MAX = 20
OTHER_PART_BYTES_MAX = 64 * 1024
SILENCE_S_MAX = 60.0
"""How long a client may send nothing."""

_CHUNK_BYTES = 256 * 1024
_AROUND_BYTES_MAX = PARTS_MAX * OTHER_PART_BYTES_MAX
_AS_IT_IS = frozenset({"", "identity", "binary", "8bit", "7bit"})
_HOW = f"send multipart/form-data with the CSV file as the part {FIELD!r}, as in curl -F file=@events.csv"

T = TypeVar("T")

Write = Callable[[bytes], Awaitable[None]]


async def receive_file(request: web.BaseRequest, write: Write, bytes_max: int = FILE_BYTES_MAX) -> int:
    """Hand the bytes of the part `file` to `write`, in order, and give how many they are.

    Raises:
        ApiError: 400, 408, 413 or 415; some bytes may have been written.
    """
    _require_multipart(request)
    if (request.content_length or 0) > bytes_max + _AROUND_BYTES_MAX:
        raise _too_large(bytes_max)
    try:
        reader = await request.multipart()
        part = await _file_part(reader)
        size = 0
        while chunk := await _within_time(part.read_chunk(_CHUNK_BYTES)):
            size += len(chunk)
            if size > bytes_max:
                raise _too_large(bytes_max)
            await write(chunk)
        await _within_time(reader.next())  # The boundary must follow, or the file was cut short.
    except TimeoutError:
        raise ApiError(408, f"nothing came for {SILENCE_S_MAX:.0f} s: send the file again") from None
    except (ConnectionError, aiohttp.ClientError, web.RequestPayloadError):
        raise invalid("the upload broke off: send the file again") from None
    except (ValueError, RuntimeError, AssertionError, HttpProcessingError) as error:
        what = (str(error) or type(error).__name__).partition("\n")[0][:120]
        raise invalid(f"the multipart body cannot be read ({what}): {_HOW}") from None
    if not size:
        raise invalid_field(FIELD, "empty", "the file is empty: its first line names the columns")
    return size


def _require_multipart(request: web.BaseRequest) -> None:
    if request.content_type != "multipart/form-data":
        raise unsupported(f"Content-Type {request.content_type[:60]!r} is not read here: {_HOW}")
    _require_plain(request.headers.get("Content-Encoding", ""), "Content-Encoding")


def _require_plain(encoding: str, header: str) -> None:
    if encoding.strip().lower() not in _AS_IT_IS:
        raise unsupported(f"{header} {encoding[:40]!r} is not read here: send the file as it is")


async def _file_part(reader: MultipartReader) -> BodyPartReader:
    """Give the file's part; other fields of the form are passed over."""
    for _ in range(PARTS_MAX):
        part = await _within_time(reader.next())
        if part is None:
            break
        if not isinstance(part, BodyPartReader):
            raise invalid(f"a multipart body within the multipart body is not read: {_HOW}")
        if part.name == FIELD:
            for header in ("Content-Encoding", "Content-Transfer-Encoding"):
                _require_plain(part.headers.get(header, ""), header)
            return part
        size = 0
        while chunk := await _within_time(part.read_chunk(_CHUNK_BYTES)):
            size += len(chunk)
            if size > OTHER_PART_BYTES_MAX:
                raise too_large(f"a part other than {FIELD!r} has more than {OTHER_PART_BYTES_MAX} bytes: leave it out")
    raise invalid_field(FIELD, "required", f"the part {FIELD!r} is missing: {_HOW}")


async def _within_time(waited: Awaitable[T]) -> T:
    async with asyncio.timeout(SILENCE_S_MAX):
        return await waited


def _too_large(bytes_max: int) -> ApiError:
    return too_large(f"the file has more than {bytes_max} bytes: send it in several files, each with the header line")
