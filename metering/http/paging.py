"""Lists: `take` (50, at most 100) and `skip`, answered as `{"meta": {"total", "taken", "skipped"}, "data": []}`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metering.http.problem import invalid_field
from metering.http.route import Call, Parameter
from metering.http.shapes import INTEGER, bounded

TAKE_DEFAULT = 50
TAKE_MAX = 100
SKIP_MAX = 10_000_000

PARAMETERS = (
    Parameter(
        "take", f"How many to return: 0 to {TAKE_MAX}, {TAKE_DEFAULT} when absent.", bounded(INTEGER, 0, TAKE_MAX)
    ),
    Parameter("skip", "How many to pass over first.", bounded(INTEGER, 0, SKIP_MAX)),
)


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for."""

    take: int
    skip: int


def page_of(call: Call) -> Page:
    """Read `take` and `skip`.

    Raises:
        ApiError: 400 when one is no number or out of range.
    """
    return Page(_number(call, "take", TAKE_DEFAULT, TAKE_MAX), _number(call, "skip", 0, SKIP_MAX))


def paged(data: Sequence[Any], total: int, page: Page) -> dict[str, Any]:
    """Wrap one page of a list of `total`."""
    return {"meta": {"total": total, "taken": len(data), "skipped": page.skip}, "data": list(data)}


def _number(call: Call, name: str, default: int, most: int) -> int:
    text = call.query(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and int(text) <= most):
        raise invalid_field(name, "out_of_range", f"{name}={text[:40]!r} must be a whole number from 0 to {most}")
    return int(text)
