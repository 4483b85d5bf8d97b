"""The traffic of the demo: a public trace of LLM requests where its files are at hand, seeded traffic elsewhere.

The trace is the Azure LLM inference dataset of 2023 (CC-BY; P. Patel et al., "Splitwise: Efficient generative LLM
inference using phase splitting", ISCA 2024): one row for each request of one hour, with its token counts.
"""

import csv
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

TRACE_DIR_DEFAULT = Path("../shared/data")
EVENT_TYPE = "llm_request"
CUSTOMERS = ("conv", "code")

_SEEDED_EVENTS = 28_185
_SEEDED_START = datetime(2023, 11, 16, 18, 15, 46, tzinfo=UTC)


def trace_file(folder: Path, customer: str) -> Path:
    """Give where one customer's trace lies."""
    return folder / f"azure_llm_trace_{customer}.csv"


def has_trace(folder: Path) -> bool:
    """Tell whether both files are there."""
    return all(trace_file(folder, customer).is_file() for customer in CUSTOMERS)


def read_trace(folder: Path) -> Iterator[dict[str, Any]]:
    """Give the trace's events, one file after the other; `record.id` is file and line, counted from 1."""
    for customer in CUSTOMERS:
        with trace_file(folder, customer).open(newline="") as lines:
            for number, row in enumerate(csv.DictReader(lines), start=1):
                yield {
                    "customer_id": customer,
                    "timestamp": row["TIMESTAMP"],
                    "event_type": EVENT_TYPE,
                    "record": {
                        "id": f"{customer}-{number}",
                        "context_tokens": int(row["ContextTokens"]),
                        "generated_tokens": int(row["GeneratedTokens"]),
                    },
                }


def seeded_traffic(events: int = _SEEDED_EVENTS) -> Iterator[dict[str, Any]]:
    """Give traffic of the trace's kind, the same at every call."""
    chance = random.Random(2023)  # noqa: S311 - traffic, not a secret.
    moment = _SEEDED_START
    for number in range(1, events + 1):
        moment += timedelta(microseconds=chance.randrange(250_000))
        customer = CUSTOMERS[chance.random() < 0.31]
        yield {
            "customer_id": customer,
            "timestamp": moment.isoformat(),
            "event_type": EVENT_TYPE,
            "record": {
                "id": f"{customer}-{number}",
                "context_tokens": min(int(chance.expovariate(1 / 1200)) + 1, 8000),
                "generated_tokens": min(int(chance.expovariate(1 / 150)) + 1, 1500),
            },
        }


def in_batches(events: Iterator[dict[str, Any]], size: int) -> Iterator[tuple[int, bytes]]:
    """Encode events as the bodies of batch requests: how many, and the bytes to send (and to send again)."""
    batch: list[dict[str, Any]] = []
    for event in events:
        batch.append(event)
        if len(batch) == size:
            yield size, _encode(batch)
            batch = []
    if batch:
        yield len(batch), _encode(batch)


def _encode(batch: list[dict[str, Any]]) -> bytes:
    return json.dumps(batch, separators=(",", ":")).encode()
