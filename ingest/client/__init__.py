"""Send usage events from Python: batched, retried with the same bytes, nothing lost on the way.

This package stands alone: it imports urllib3, msgspec and the standard library, and nothing else of the product.
"""

from ingest.client.client import Client
from ingest.client.errors import (
    BufferFullError,
    ClientClosedError,
    ClientError,
    EventError,
    NotDeliveredError,
    SpoolError,
)
from ingest.client.event import Event, Record, Value
from ingest.client.post import Rejection

__all__ = [
    "BufferFullError",
    "Client",
    "ClientClosedError",
    "ClientError",
    "Event",
    "EventError",
    "NotDeliveredError",
    "Record",
    "Rejection",
    "SpoolError",
    "Value",
]
