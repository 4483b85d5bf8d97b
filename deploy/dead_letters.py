"""`meterline dead-letters`: what came through the log and could not be counted, for the operator of an installation.

It asks the running core on its socket in the data folder, so whoever may read that folder may ask, and nobody else; or,
where METERLINE_API_URL is set, an API, with METERLINE_INTERNAL_SECRET.
"""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.core_socket import ask_core
from deploy.settings import Settings
from ingest.dead_letter_routes import DEAD_LETTERS_PATH


def list_dead_letters(settings: Settings, console: Console) -> int:
    """Print all dead letters, oldest first; gives the exit code."""
    letters = _all("GET", settings)
    if not letters:
        console.print("there are no dead letters")
        return 0
    table = Table("position", "kept at (UTC)", "account", "mode", "bytes", "state", "reason", box=None, pad_edge=False)
    for letter in letters:
        whose = escape(letter["account_id"] or "unknown"), letter["mode"] or "unknown"
        state = "replayed" if letter["replayed"] else "waiting"
        kept_at = letter["kept_at"][:19]
        row = str(letter["position"]), kept_at, *whose, str(letter["bytes"]), state, escape(letter["reason"])
        table.add_row(*row)
    console.print(table)
    return 0


def replay_dead_letters(settings: Settings, console: Console) -> int:
    """Send every good one through the log again; gives the exit code: 1 when some are still no good."""
    outcomes = _all("POST", settings)
    refused = [outcome for outcome in outcomes if outcome["reason"] is not None]
    for outcome in refused:
        console.print(f"{outcome['position']}: {escape(outcome['reason'])}")
    events = sum(outcome["events"] for outcome in outcomes)
    console.print(
        f"{len(outcomes) - len(refused):,} letters replayed with {events:,} events, {len(refused):,} still no good"
    )
    return 1 if refused else 0


def _all(method: str, settings: Settings) -> Sequence[Any]:
    """Give what the core answers, page after page, until one is empty."""
    found: list[Any] = []
    first = 0
    while page := ask_core(settings, method, f"{DEAD_LETTERS_PATH}?first={first}", or_api=True):
        found += page
        first = page[-1]["position"] + 1
    return found
