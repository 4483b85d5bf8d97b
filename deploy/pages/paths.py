"""Addresses of things with ids that others chose: any text, slashes and dots included."""

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
