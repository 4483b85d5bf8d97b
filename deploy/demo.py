"""`meterline demo`: real usage through the front door, priced, so that there is something to look at."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.api_client import ApiClient, ApiClientError
from deploy.settings import Settings
from deploy.trace import CUSTOMERS, EVENT_TYPE, TRACE_DIR_DEFAULT, has_trace, in_batches, read_trace, seeded_traffic
from metering.http.scope import Scope
from metering.registry.accounts import DEFAULT_ACCOUNT, find_account
from metering.registry.engine import Registry
from metering.registry.keys import create_key
from metering.world import Mode, World

BATCH_EVENTS = 1000
APPLIED_WAIT_S_MAX = 60.0
STARTS_AT = "2023-11-01T00:00:00Z"

_NAMES = {"conv": "Conversation service", "code": "Code service"}
_AGGREGATORS: tuple[dict[str, Any], ...] = (
    {"name": "LLM requests", "entity": EVENT_TYPE, "operation": "count", "unit_name": "request"},
    {
        "name": "Context tokens",
        "entity": EVENT_TYPE,
        "operation": "sum",
        "property": "context_tokens",
        "unit_name": "token",
    },
    {
        "name": "Generated tokens",
        "entity": EVENT_TYPE,
        "operation": "sum",
        "property": "generated_tokens",
        "unit_name": "token",
    },
)
_PER_MILLION = 1_000_000
_PRODUCTS: tuple[tuple[str, str | None, list[dict[str, Any]]], ...] = (
    ("Platform fee", None, [{"type": "fee", "amount": 4900}]),
    (
        "Context tokens",
        "Context tokens",
        [
            {"type": "volume", "from": 0, "to": 10 * _PER_MILLION, "amount": 250, "unit_count": _PER_MILLION},
            {"type": "volume", "from": 10 * _PER_MILLION, "to": None, "amount": 200, "unit_count": _PER_MILLION},
        ],
    ),
    (
        "Generated tokens",
        "Generated tokens",
        [{"type": "volume", "from": 0, "to": None, "amount": 1000, "unit_count": _PER_MILLION}],
    ),
)


def run_demo(settings: Settings, url: str, key: str | None, trace: Path | None, console: Console) -> int:
    """Send the traffic and set up its billing; gives the exit code. Running it again changes nothing."""
    folder = trace or TRACE_DIR_DEFAULT
    if trace is not None and not has_trace(trace):
        console.print(
            f"[red]meterline:[/] {escape(str(trace))} holds no trace (azure_llm_trace_conv.csv and …_code.csv)"
        )
        return 1
    secret = key or _own_key(settings)
    if secret is None:
        console.print(
            f"[red]meterline:[/] there is no account yet in {escape(str(settings.data_dir))}: start Meterline first "
            "(`make run`), or set METERLINE_API_KEY and METERLINE_URL for one elsewhere"
        )
        return 1
    try:
        return asyncio.run(_demo(url, secret, folder, console))
    except ApiClientError as error:
        console.print(f"[red]meterline:[/] {escape(str(error))}")
        return 1


async def _demo(url: str, secret: str, folder: Path, console: Console) -> int:
    async with ApiClient(url, secret) as api:
        if not await api.reachable():
            console.print(f"[red]meterline:[/] nothing is ready at {escape(url)}: start it with `make run`")
            return 1
        real = has_trace(folder)
        console.print(
            "Azure LLM trace, one hour of November 2023 (CC-BY)" if real else "Seeded traffic (no trace at hand)"
        )
        await _send(api, read_trace(folder) if real else seeded_traffic(), console)
        await _set_up(api)
        await _until_applied(api)
        await _show(api, console)
    return 0


async def _send(api: ApiClient, events: Iterator[dict[str, Any]], console: Console) -> None:
    bodies = list(in_batches(events, BATCH_EVENTS))
    columns = (TextColumn("sending events"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("events", total=sum(count for count, _ in bodies))
        for count, body in bodies:
            answer = await api.post_bytes("/v1/events/batch", body, {"Prefer": "return=minimal"})
            if answer["events_failed"]:
                raise ApiClientError(f"an event was refused: {answer['events_failed'][0]['error']['message']}")
            progress.advance(bar, count)


async def _set_up(api: ApiClient) -> None:
    """Create what is not there yet."""
    for customer in CUSTOMERS:
        body = {"external_id": customer, "name": _NAMES[customer], "currency": "EUR", "country": "FR"}
        try:
            await api.post("/v1/customers", body)
        except ApiClientError as error:
            if error.status != 409:
                raise
    aggregators = {item["name"]: item["id"] for item in (await api.get("/v1/aggregators?take=100"))["data"]}
    for aggregator in _AGGREGATORS:
        if aggregator["name"] not in aggregators:
            aggregators[aggregator["name"]] = (await api.post("/v1/aggregators", aggregator))["id"]
    products = {item["name"]: item["id"] for item in (await api.get("/v1/products?take=100"))["data"]}
    for name, counted, prices in _PRODUCTS:
        if name not in products:
            kind = (
                {"type": "flat_fee"} if counted is None else {"type": "dynamic", "aggregator_id": aggregators[counted]}
            )
            configuration = {"currency": "EUR", "prices": prices}
            product = {"name": name, **kind, "price_configurations": [configuration]}
            products[name] = (await api.post("/v1/products", product))["id"]
    for customer in CUSTOMERS:
        if (await api.get(f"/v2/subscriptions?customer_id={quote(customer, safe='')}"))["meta"]["total"] == 0:
            monthly = {"period": "months", "count": 1}
            subscription = {
                "customer_id": customer,
                "currency": "EUR",
                "starts_at": STARTS_AT,
                "activation_strategy": "start_date",
                "products": [{"id": products[name], "payment_interval": monthly} for name, _, _ in _PRODUCTS],
            }
            await api.post("/v2/subscriptions", subscription)


async def _until_applied(api: ApiClient) -> None:
    deadline = asyncio.get_running_loop().time() + APPLIED_WAIT_S_MAX
    while (await api.get("/v1/ingest/lag"))["lag_events"] > 0:
        if asyncio.get_running_loop().time() > deadline:
            raise ApiClientError(f"the events are safe, but not counted after {APPLIED_WAIT_S_MAX:.0f} s: see the log")
        await asyncio.sleep(0.1)


async def _show(api: ApiClient, console: Console) -> None:
    table = Table(
        "customer", "requests", "context tokens", "generated tokens", "November 2023", box=None, pad_edge=False
    )
    period = "start_date=2023-11-01&end_date=2023-12-01"
    for customer in CUSTOMERS:
        usage = {row["name"]: row["total"] for row in await api.get(f"/v1/customers/{customer}/usage?{period}")}
        invoices = await api.get(
            f"/v1/invoices?status=open&customer_id={customer}"
            "&period_starts_at__gte=2023-11-01T00:00:00Z&period_starts_at__lt=2023-12-01T00:00:00Z"
        )
        total = sum(invoice["total_amount"] for invoice in invoices["data"])
        counts = [f"{usage[aggregator['name']]:,}" for aggregator in _AGGREGATORS]
        table.add_row(_NAMES[customer], *counts, f"{total // 100}.{total % 100:02} EUR")
    console.print(table)
    console.print(f"\nLook at it: [bold]{escape(api.url)}/[/]  (sign in with an API key)")


def _own_key(settings: Settings) -> str | None:
    """Make a key of the local default account for this run; None when there is no account here."""
    registry = Registry(settings.registry_url)
    try:
        if registry.is_sqlite and not Path(registry.url.database or "").is_file():
            return None
        with registry.writing() as connection:
            account = find_account(connection, DEFAULT_ACCOUNT)
            if account is None:
                return None
            now = datetime.now(UTC)
            world = World(account.id, Mode.TEST)
            _, secret = create_key(
                connection, world, [Scope.ADMIN], now, name="demo", expires_at=now + timedelta(hours=1)
            )
            return secret
    finally:
        registry.close()
