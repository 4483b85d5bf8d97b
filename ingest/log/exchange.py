"""What remote writers and the log process say to each other over their Unix socket.

Both ends are one release, started by one supervisor, and run as one user; the socket's mode keeps others out. Requests
are pipelined, and answers come as they are ready.

    request   kind u8 | 3 unused | body bytes u32 | request id u64 | argument u64 | body
    answer    status u8 | 3 unused | first index u32 | request id u64 | offset u64

APPEND: the argument is the number of events, the body encoded sections that take one message together; the answer says
where their first event rests. TRIM: the argument is the offset before which nothing is needed any more, there is no
body; the answer's offset is the first that is left. SEAL: the last segment ends;
the answer's offset is where the next one begins.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

_REQUEST = struct.Struct("<B3xIQQ")
_ANSWER = struct.Struct("<B3xIQQ")
REQUEST_HEAD_BYTES = _REQUEST.size
ANSWER_BYTES = _ANSWER.size


class RequestKind(IntEnum):
    """What is asked."""

    APPEND = 1
    TRIM = 2
    SEAL = 3


class Status(IntEnum):
    """How a request ended."""

    DONE = 0
    UNAVAILABLE = 1
    """The outcome is unknown."""
    OVERLOADED = 2
    """Nothing was done: too much waits."""


class Request(NamedTuple):
    """A request's head."""

    kind: int
    body_bytes: int
    request_id: int
    argument: int


class Answer(NamedTuple):
    """An answer, whole."""

    status: int
    first_index: int
    request_id: int
    offset: int


def pack_request(request: Request) -> bytes:
    """Give a request's head; its body follows."""
    return _REQUEST.pack(*request)


def unpack_request(buffer: bytes | bytearray, at: int) -> Request:
    """Read the request's head at a byte; all of it must be there."""
    return Request._make(_REQUEST.unpack_from(buffer, at))


def pack_answer(answer: Answer) -> bytes:
    """Give an answer's bytes."""
    return _ANSWER.pack(*answer)


def unpack_answer(buffer: bytes | bytearray, at: int) -> Answer:
    """Read the answer at a byte; all of it must be there."""
    return Answer._make(_ANSWER.unpack_from(buffer, at))
