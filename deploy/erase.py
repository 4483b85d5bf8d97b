"""`meterline customers erase`: have a customer's text erased over the API, and wait until it is done."""

import asyncio
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.markup import escape

from deploy.api_client import ApiClient, ApiClientError

LOOK_INTERVAL_S = 0.5


def run_erase(customer: str, url: str, key: str, console: Console, errors: Console) -> int:
    """Do it; gives the exit code. What was begun goes on when this is interrupted."""
    try:
        done = asyncio.run(_erase(customer, url, key, console))
    except ApiClientError as error:
        errors.print(f"[red]meterline:[/] {escape(str(error))}")
        return 1
    console.print(
        f"erased: {done['events_erased']:,} versions of events, {done['dead_letters_erased']:,} dead letters, "
        f"{done['log_segments_rewritten']:,} segments of the log written again"
    )
    for event_type, properties in done["kept_properties"].items():
        if properties:
            console.print(
                f"kept, because figures are made of it: {escape(event_type)}: {escape(', '.join(properties))}"
            )
    return 0


async def _erase(customer: str, url: str, key: str, console: Console) -> Any:
    async with ApiClient(url, key) as client:
        begun = await client.post(f"/v1/customers/{quote(customer, safe='')}/erase", {})
        console.print(f"erasure {begun['id']} is under way")
        while True:
            found = await client.get(f"/v1/erasures/{begun['id']}")
            if found["status"] == "done":
                return found
            await asyncio.sleep(LOOK_INTERVAL_S)
