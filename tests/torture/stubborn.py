"""A client that sends the same bytes until it is answered: all that the promise asks of one."""

import asyncio
import json
import time

import aiohttp

from metering.http.json import loads

PATIENCE_S_MAX = 1_800
"""Who is not answered for so long has found a stall: kills that follow each other on a loaded machine take minutes."""
ATTEMPT_S_MAX = 20
LONG_ATTEMPT_S_MAX = 75
"""A deletion waits in the product until what came before it is counted."""
PAUSE_S_MIN, PAUSE_S_MAX = 0.05, 0.5


class Stubborn:
    """One client with one connection."""

    def __init__(self, url, key):
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self.unanswered = 0

    async def __aenter__(self):
        self._session = aiohttp.ClientSession(headers=self._headers, connector=aiohttp.TCPConnector(limit=1))
        # Else aiohttp sends a DELETE that was cut once more without a word, and its count is that of the second.
        self._session._retry_connection = False
        return self

    async def __aexit__(self, *_):
        await self._session.close()

    async def until_answered(self, method, path, body=None, *, headers=None, attempt_s_max=ATTEMPT_S_MAX):
        """Give (status, answer, headers, whether an attempt before may have arrived)."""
        sent = {"Content-Type": "application/json"} if body is not None else {}
        limit = aiohttp.ClientTimeout(total=attempt_s_max)
        deadline = time.monotonic() + PATIENCE_S_MAX
        unclear, last, pause_s = False, None, PAUSE_S_MIN
        while time.monotonic() < deadline:
            try:
                async with self._session.request(
                    method, self._url + path, data=body, headers={**sent, **(headers or {})}, timeout=limit
                ) as answer:
                    text = await answer.read()
                    if answer.status != 503:
                        assert answer.status < 500, (method, path, answer.status, text)
                        return answer.status, loads(text) if text else None, answer.headers, unclear
                    assert "Retry-After" in answer.headers, text
                    last = text
            except (aiohttp.ClientError, TimeoutError) as error:
                last = error
            unclear = True
            self.unanswered += 1
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)
        raise AssertionError(f"{method} {path}: not answered for {PATIENCE_S_MAX} s, at last: {last!r}")

    async def get(self, path):
        """Give the answer and its headers."""
        status, answer, headers, _ = await self.until_answered("GET", path)
        assert status == 200, (path, status, answer)
        return answer, headers

    async def post(self, path, value):
        """Give the answer."""
        status, answer, _, _ = await self.until_answered("POST", path, json.dumps(value).encode())
        assert status in {200, 201}, (path, status, answer)
        return answer

    async def send(self, events):
        """Send one event or a batch; tells whether an attempt before may have arrived too."""
        if len(events) == 1:
            status, answer, _, unclear = await self.until_answered("POST", "/v1/events", events[0].body)
            assert (status, answer) == (201, {}), (status, answer, events[0].body)
            return unclear
        body = b"[" + b",".join(event.body for event in events) + b"]"
        minimal = {"Prefer": "return=minimal"}
        status, answer, _, unclear = await self.until_answered("POST", "/v1/events/batch", body, headers=minimal)
        assert (status, answer) == (201, {"events_created_count": len(events), "events_failed": []}), (status, answer)
        return unclear

    async def delete(self, selection):
        """Retract events; gives how many were, and whether an attempt before may have arrived too."""
        status, answer, _, unclear = await self.until_answered(
            "DELETE", "/v1/events", json.dumps(selection).encode(), attempt_s_max=LONG_ATTEMPT_S_MAX
        )
        assert status == 200, (status, answer)
        return answer, unclear

    async def until_applied(self):
        """Return once all that was accepted is in the figures."""
        deadline, lowest = time.monotonic() + PATIENCE_S_MAX, None
        while True:
            lag = (await self.get("/v1/ingest/lag"))[0]["lag_events"]
            if lag == 0:
                return
            if lowest is None or lag < lowest:  # It gets on: who waits may go on waiting.
                deadline, lowest = time.monotonic() + PATIENCE_S_MAX, lag
            assert time.monotonic() < deadline, f"{lag} events are not counted, and nothing moves"
            await asyncio.sleep(0.1)
