"""What the core serves to the command line about dead letters, on its own socket and nowhere else."""

from collections.abc import Sequence

from aiohttp import web

from ingest.core_api import INTERNAL_PREFIX, internal_only
from ingest.dead_letter_replay import KeptLetter, Outcome, Replayer
from ingest.errors import LogOverloadedError, LogUnavailableError
from metering.http.app import json_response
from metering.http.problem import invalid_field, unavailable
from metering.http.route import Call, Route

DEAD_LETTERS_PATH = f"{INTERNAL_PREFIX}dead-letters"
LISTED_MAX = 500


def dead_letter_routes(replayer: Replayer) -> Sequence[Route]:
    """Give the routes; each answers for the letters from the position `first` on."""

    async def listed(call: Call) -> web.StreamResponse:
        return json_response([_letter(letter) for letter in await replayer.letters.listed(_first(call), LISTED_MAX)])

    async def replay(call: Call) -> web.StreamResponse:
        try:
            outcomes = await replayer.replay(_first(call))
        except (LogUnavailableError, LogOverloadedError) as error:
            raise unavailable(f"not all were sent: {error}") from None
        return json_response([_outcome(outcome) for outcome in outcomes])

    return (
        Route("GET", DEAD_LETTERS_PATH, None, internal_only(listed), "List dead letters", "internal"),
        Route("POST", DEAD_LETTERS_PATH, None, internal_only(replay), "Replay dead letters", "internal"),
    )


def _letter(letter: KeptLetter) -> dict[str, object]:
    return {
        "position": letter.position,
        "account_id": None if letter.world is None else letter.world.account_id,
        "mode": None if letter.world is None else letter.world.mode.value,
        "reason": letter.reason,
        "bytes": letter.size,
        "kept_at": letter.kept_at,
        "replayed": letter.replayed,
    }


def _outcome(outcome: Outcome) -> dict[str, object]:
    return {"position": outcome.position, "events": outcome.events, "reason": outcome.reason}


def _first(call: Call) -> int:
    text = call.query("first") or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < 1 << 64):
        raise invalid_field("first", "invalid_type", f"first={text[:40]!r} must be a position")
    return int(text)
