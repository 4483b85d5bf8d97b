"""Rate limits: how many requests a key may send in each window of time, and what it is told about it.

A key belongs to one account in one mode, so the counts do too. A window begins with a key's first request and ends
`window_s` later; every answer says how many are left and when the window ends. Counts lie in a file that all processes
map, so a limit holds exactly over any number of gateway workers and across their restarts. Without limits, nothing here
runs.
"""

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, Self

from aiohttp import web

from metering.http.problem import ApiError
from metering.http.route import Call, Handler, Route
from metering.http.scope import Scope
from metering.timestamps import format_instant

SLOTS = 16_384
_SLOT = struct.Struct("<16sQQ")
_TRIED = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Budget(StrEnum):
    """What is counted apart."""

    INGEST = "ingest"
    READS = "reads"
    WRITES = "writes"


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests that a key may send in each window."""

    ingest: int = 1000
    reads: int = 200
    writes: int = 50
    window_s: int = 10

    def of(self, budget: Budget) -> int:
        """Give the limit of a budget."""
        return {Budget.INGEST: self.ingest, Budget.READS: self.reads, Budget.WRITES: self.writes}[budget]


@dataclass(frozen=True, slots=True)
class Taken:
    """What a request found. `ends_ms` is when the window ends, milliseconds since 1970 UTC."""

    limit: int
    used: int
    now_ms: int
    ends_ms: int

    @property
    def headers(self) -> dict[str, str]:
        """Say how it stands."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(0, self.limit - self.used)),
            "X-RateLimit-Reset": format_instant(_EPOCH + timedelta(milliseconds=self.ends_ms)),
        }

    def refusal(self, budget: Budget) -> ApiError:
        """Give the 429."""
        wait_s = max(1, -(-(self.ends_ms - self.now_ms) // 1000))
        message = f"too many requests: this key may send {self.limit} {budget} a window; go on after {wait_s} s"
        return ApiError(429, message, headers={**self.headers, "Retry-After": str(wait_s)})


class Limiter(Protocol):
    """Counts requests."""

    def take(self, key_id: str, budget: Budget) -> dict[str, str]:
        """Count a request, and give the headers of its answer.

        Raises:
            ApiError: 429; the request is not to be carried out.
        """
        ...


class SharedLimiter:
    """A `Limiter` whose counts lie in a file that processes share; a lock on it is held for microseconds.

    A file has room for `SLOTS` keys and budgets in their windows. Should those that share a neighbourhood of the file
    all be busy, a request is let in uncounted: to refuse it would be worse.
    """

    def __init__(self, descriptor: int, limits: RateLimits, now_ms: Callable[[], int]) -> None:
        """`descriptor` is the file's, now this object's. `now_ms` gives milliseconds since 1970 UTC."""
        self._descriptor = descriptor
        self._limits = limits
        self._now_ms = now_ms
        self._window_ms = limits.window_s * 1000
        self._slots = mmap.mmap(descriptor, SLOTS * _SLOT.size)

    @classmethod
    def open(
        cls, path: Path, limits: RateLimits, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> Self:
        """Open the counts, or make them. Truncating a file to the size that it has changes nothing."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(descriptor, SLOTS * _SLOT.size)
        return cls(descriptor, limits, now_ms)

    def take(self, key_id: str, budget: Budget) -> dict[str, str]:
        """Count a request: see `Limiter`."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            taken = self._count(key_id, budget)
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        if taken.used > taken.limit:
            raise taken.refusal(budget)
        return taken.headers

    def close(self) -> None:
        """Let go of the file; the counts stay."""
        self._slots.close()
        os.close(self._descriptor)

    def _count(self, key_id: str, budget: Budget) -> Taken:
        now, limit = self._now_ms(), self._limits.of(budget)
        digest = blake2b(f"{budget} {key_id}".encode(), digest_size=16).digest()
        first = int.from_bytes(digest[:8], "little")
        free = None
        for step in range(_TRIED):
            at = (first + step) % SLOTS * _SLOT.size
            held, begun, used = _SLOT.unpack_from(self._slots, at)
            live = begun <= now < begun + self._window_ms  # A clock that was set back ends the window too.
            if held == digest:
                if not live:
                    begun, used = now, 0
                used = min(used + 1, limit + 1)
                _SLOT.pack_into(self._slots, at, digest, begun, used)
                return Taken(limit, used, now, begun + self._window_ms)
            if free is None and not live:
                free = at
        if free is not None:
            _SLOT.pack_into(self._slots, free, digest, now, 1)
        return Taken(limit, 1, now, now + self._window_ms)


class RateLimited:
    """Wraps the handlers of reads and writes; to be one of the `around` of `metering.http.app.build_app`."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    def __call__(self, route: Route, handler: Handler) -> Handler:
        """Give the handler that is counted; what needs no key is not."""
        if route.scope is None:
            return handler
        budget = _budget_of(route)

        async def counted(call: Call) -> web.StreamResponse:
            assert call.principal is not None
            return await answered_with(self._limiter.take(call.principal.key_id, budget), handler(call))

        return counted


async def answered_with(headers: Mapping[str, str], answer: Awaitable[web.StreamResponse]) -> web.StreamResponse:
    """Put headers on an answer, also on one that is raised."""
    try:
        response = await answer
    except ApiError as error:
        error.headers = {**error.headers, **headers}
        raise
    if not response.prepared:
        response.headers.update(headers)
    return response


def _budget_of(route: Route) -> Budget:
    if route.scope is Scope.INGEST:
        return Budget.INGEST
    return Budget.READS if route.method == "GET" else Budget.WRITES
