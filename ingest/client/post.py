"""Post one batch and say what became of it; nothing is decided here about when to try again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

import urllib3

BATCH_PATH = "/v1/events/batch"
CONNECT_WAIT_S_MAX = 10.0
ANSWER_WAIT_S_MAX = 90.0
"""More than the gateway's own limits on a batch."""
RETRY_AFTER_S_MAX = 300.0

_AGAIN = frozenset({408, 421, 425, 429})
_UNREADABLE = frozenset({400, 413, 422})


class Fate(Enum):
    """What became of a batch."""

    TAKEN = "taken"
    """It is durable, but for the events that are named."""
    UNKNOWN = "unknown"
    """No answer, or one that asks to wait: send the same bytes again."""
    REFUSED = "refused"
    """The server takes nothing from this client as it is: the key, its scope or the address is wrong."""
    UNREADABLE = "unreadable"
    """The request as a whole is refused for what is in it: nothing of it was stored."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """One event that the server did not take, as it was sent, and why."""

    event: bytes
    code: str
    path: Sequence[str | int]
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch. `retry_after_s` is what the server asked for, None when it did not."""

    fate: Fate
    reason: str = ""
    rejections: Sequence[Rejection] = ()
    retry_after_s: float | None = None


class Poster:
    """One server and one key; connections are kept."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/") + BATCH_PATH
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "Prefer": "return=minimal",
            "User-Agent": "meterline-client",
        }
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=1,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_WAIT_S_MAX, read=ANSWER_WAIT_S_MAX),
        )

    def post(self, body: bytes, events: Sequence[bytes]) -> Outcome:
        """Send `body`, the JSON array of `events`, once."""
        try:
            answer = self._pool.request("POST", self._url, body=body, headers=self._headers, redirect=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Outcome(Fate.UNKNOWN, f"{self._url} does not answer ({type(error).__name__})")
        return _outcome(answer, events)

    def close(self) -> None:
        """Let go of the connections."""
        self._pool.clear()


def _outcome(answer: urllib3.BaseHTTPResponse, events: Sequence[bytes]) -> Outcome:
    told = _json(answer.data)
    if 200 <= answer.status < 300:
        rejections = _rejections(told, events)
        if rejections is None:  # Something between here and the server said so: nobody else knows these events.
            return Outcome(Fate.UNKNOWN, f"the answer {answer.status} does not account for the events")
        return Outcome(Fate.TAKEN, rejections=rejections)
    said = told.get("message") if isinstance(told, dict) else None
    reason = f"{answer.status}: {said}" if said else f"status {answer.status}"
    if answer.status in _AGAIN or answer.status >= 500:
        return Outcome(Fate.UNKNOWN, reason, retry_after_s=_wait_asked_for(answer.headers.get("Retry-After")))
    # Only the server itself judges events; of others, only "too large" says something of the batch.
    judged = isinstance(told, dict) and isinstance(told.get("errors"), list) and answer.status in _UNREADABLE
    too_large = answer.status == 413 and len(events) > 1
    return Outcome(Fate.UNREADABLE if judged or too_large else Fate.REFUSED, reason)


def _rejections(told: Any, events: Sequence[bytes]) -> Sequence[Rejection] | None:
    """Read what was not taken; None when the answer does not account for each event."""
    try:
        failed = told["events_failed"]
        if told["events_created_count"] + len(failed) != len(events):
            return None
        return [
            Rejection(events[one["index"]], error["code"], error["path"], error["message"])
            for one in failed
            for error in [one["error"]]
        ]
    except (LookupError, TypeError):
        return None


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _wait_asked_for(value: str | None) -> float | None:
    """Read `Retry-After`: seconds or a date (RFC 9110, 10.2.3); None when it says neither."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(int(value), RETRY_AFTER_S_MAX)
    try:
        seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_S_MAX)
