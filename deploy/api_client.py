"""What the command line needs of the HTTP API: exact JSON, and the same bytes again while the answer is unknown."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

from metering.http.json import MalformedJsonError, dumps, loads

TRIES_MAX = 30
PAUSE_S_MAX = 2.0


class ApiClientError(Exception):
    """The API refused or cannot be reached; the message says which, in one line."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ApiClient:
    """One key at one address."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(total=60))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def get(self, path: str) -> Any:
        """Ask."""
        return await self._send("GET", path, None, {})

    async def post(self, path: str, value: Any) -> Any:
        """Send a JSON value."""
        return await self.post_bytes(path, dumps(value), {})

    async def post_bytes(self, path: str, body: bytes, headers: Mapping[str, str]) -> Any:
        """Send a body; after a lost or 5xx answer the same bytes again.

        Only for what may be repeated, as events may for ever.

        Raises:
            ApiClientError: refused, or not reached in `TRIES_MAX` tries.
        """
        return await self._send("POST", path, body, {"Content-Type": "application/json", **headers})

    async def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
        assert self._session is not None
        pause = 0.1
        reason = ""
        for _ in range(TRIES_MAX):
            try:
                async with self._session.request(method, self.url + path, data=body, headers=headers) as answer:
                    text = await answer.read()
                    if answer.status < 400:
                        return loads(text) if text else None
                    if answer.status < 500 and answer.status != 429:
                        raise ApiClientError(_message(text, answer.status), answer.status)
                    reason = _message(text, answer.status)
            except (aiohttp.ClientError, TimeoutError) as error:
                reason = f"{self.url} does not answer ({str(error) or type(error).__name__})"
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_S_MAX)
        raise ApiClientError(f"gave up after {TRIES_MAX} tries: {reason}")

    async def reachable(self) -> bool:
        """Tell whether anything ready answers at the address, without trying again."""
        assert self._session is not None
        try:
            async with self._session.get(f"{self.url}/readyz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


def _message(text: bytes, status: int) -> str:
    try:
        value = loads(text)
    except MalformedJsonError:
        return f"status {status}"
    return f"{status}: {value.get('message')}" if isinstance(value, dict) else f"status {status}"
