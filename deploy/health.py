"""How a role is: `/healthz` (it lives), `/readyz` (what it needs answers), `/health` (both, by name).

Anybody may ask, so nothing is told but names; and what is asked of others is asked at most every `ASK_EVERY_S`, however
many ask us.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic

from aiohttp import web

from ingest.errors import IngestError
from metering.errors import MeteringError
from metering.http.app import SECURITY_HEADERS, error_response, json_response
from metering.http.problem import unavailable

ASK_EVERY_S = 2.0
ASK_S_MAX = 5.0
PATHS = ("/health", "/healthz", "/readyz")
RETRY_AFTER_S = 2

Check = Callable[[], Awaitable[object]]
"""Ask a neighbour; raises MeteringError or IngestError while it does not answer."""


class Health:
    """Of one process. `checks` are filled in as its neighbours are opened; until `started` it is not ready."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._missing: list[str] = []
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()
        self.started = False
        self.waits_for = ""
        self.checks: Mapping[str, Check] = {}

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one of the `PATHS`."""
        if request.path == "/healthz":
            return json_response({"status": "ok"}, headers=SECURITY_HEADERS)
        missing = await self.missing()
        if request.path == "/health":
            told = {"role": self._role, "live": True, "ready": not missing, "missing": missing}
            headers = {**SECURITY_HEADERS, "Retry-After": str(RETRY_AFTER_S)} if missing else SECURITY_HEADERS
            return json_response(told, 503 if missing else 200, headers)
        if missing:
            return self.refusal(missing)
        return json_response({"status": "ok"}, headers=SECURITY_HEADERS)

    async def missing(self) -> list[str]:
        """Name what does not answer; nothing: it is ready."""
        if not self.started:
            return [self.waits_for or "its start"]
        async with self._asking:
            if self._asked_at is None or monotonic() - self._asked_at > ASK_EVERY_S:
                names = list(self.checks)
                answers = await asyncio.gather(*(_answers(self.checks[name]) for name in names))
                self._missing = [name for name, there in zip(names, answers, strict=True) if not there]
                self._asked_at = monotonic()
        return self._missing

    def refusal(self, missing: list[str]) -> web.StreamResponse:
        """Give the 503 that says what is missing."""
        names = " and ".join(missing)
        response = error_response(unavailable(f"waits for {names}: send again shortly", retry_after_s=RETRY_AFTER_S))
        response.headers.update(SECURITY_HEADERS)
        return response


async def _answers(check: Check) -> bool:
    try:
        async with asyncio.timeout(ASK_S_MAX):
            await check()
    except (MeteringError, IngestError, TimeoutError):
        return False
    return True
