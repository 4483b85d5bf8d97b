"""Addresses of things with ids that others chose: any text, slashes and dots included."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode


def event_path(event_type: str, record_id: str) -> str:
    """Give the address of an event."""
    if {event_type, record_id} & {".", ".."}:
        # Browsers take such a segment for the folder itself or the one above, escaped or not.
        return "/event?" + urlencode({"event_type": event_type, "record_id": record_id})
    return f"/events/{quote(event_type, safe='')}/{quote(record_id, safe='')}"


def customer_path(identifier: str) -> str:
    """Give the address of a customer by our id or the external one."""
    if identifier in {".", ".."}:
        return "/customer?" + urlencode({"id": identifier})
    return f"/customers/{quote(identifier, safe='')}"


def invoice_path(invoice_id: str, **fields: str | None) -> str:
    """Give the address of an open invoice; `line` opens one of its lines, `as_of` says how it is read."""
    return f"/invoices/{quote(invoice_id, safe='')}{_asked(fields)}"


def invoice_file_path(invoice_id: str, **fields: str | None) -> str:
    """Give the address of a file of an invoice's events; `format` is csv or parquet."""
    return f"/invoices/{quote(invoice_id, safe='')}/events{_asked(fields)}"


def _asked(fields: Mapping[str, str | None]) -> str:
    query = urlencode({name: value for name, value in fields.items() if value})
    return f"?{query}" if query else ""
