"""Answers that say what is wrong, in one shape: `{"message": ..., "errors": [{"code", "path", "message"}]}`.

A handler raises an `ApiError`; the application turns it into an answer. Nothing a client sends ends in a 500.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

PathPart = str | int


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a request: `code` for programs, `path` to the value, `message` with the remedy."""

    code: str
    path: Sequence[PathPart]
    message: str


@dataclass(eq=False)
class ApiError(Exception):
    """An answer other than 2xx. `headers` go out with it."""

    status: int
    message: str
    faults: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


def invalid(message: str, *faults: Fault) -> ApiError:
    """400: the request is malformed or breaks a rule."""
    return ApiError(400, message, faults)


def invalid_field(path: Sequence[PathPart] | str, code: str, message: str) -> ApiError:
    """400 for one field."""
    where = (path,) if isinstance(path, str) else tuple(path)
    return ApiError(400, message, (Fault(code, where, message),))


def unauthorized(message: str) -> ApiError:
    """401: no key, or none that is known."""
    return ApiError(401, message, headers={"WWW-Authenticate": 'Bearer realm="meterline"'})


def forbidden(message: str) -> ApiError:
    """403: the key is good, but not for this."""
    return ApiError(403, message)


def not_found(message: str) -> ApiError:
    """404: no such thing in this world; somebody else's thing answers the same."""
    return ApiError(404, message)


def conflict(message: str) -> ApiError:
    """409: what is there already stands against it."""
    return ApiError(409, message)


def too_large(message: str) -> ApiError:
    """413: over a limit of size."""
    return ApiError(413, message)


def unsupported(message: str) -> ApiError:
    """415: a content type or encoding that is not read here."""
    return ApiError(415, message)


def refused(message: str, *faults: Fault) -> ApiError:
    """422: well-formed, and refused for what it means."""
    return ApiError(422, message, faults)


def unavailable(message: str, *, retry_after_s: int = 1) -> ApiError:
    """503: not now; the same request may be sent again."""
    return ApiError(503, message, headers={"Retry-After": str(retry_after_s)})
