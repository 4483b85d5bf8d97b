"""What a caller wants to see of a price: of which product or subscription, with tax or without."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metering.http.problem import invalid_field

_TAX = ("tax_amount", "total_amount")
_ABSENT = frozenset({"", "null"})
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Wanted:
    """None sets no condition."""

    product_id: str | None = None
    subscription_id: str | None = None
    include_tax: bool = True

    def of(self, result: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Give what is wanted of all prices of an event."""
        hidden = () if self.include_tax else _TAX
        return [
            {name: value for name, value in price.items() if name not in hidden}
            for price in result
            if self.product_id in {None, price["product_id"]}
            and self.subscription_id in {None, price["subscription_id"]}
        ]


def read_wanted(query: Mapping[str, str]) -> Wanted:
    """Read `product_id`, `subscription_id` and `include_tax`.

    Raises:
        ApiError: 400.
    """
    include_tax = _flag(query, "include_tax", when_absent=True)
    return Wanted(query.get("product_id") or None, query.get("subscription_id") or None, include_tax)


def wants_calculation(query: Mapping[str, str]) -> bool:
    """Read `with_price_calculation`.

    Raises:
        ApiError: 400.
    """
    return _flag(query, "with_price_calculation", when_absent=False)


def _flag(query: Mapping[str, str], name: str, *, when_absent: bool) -> bool:
    text = query.get(name, "").lower()
    if text in _ABSENT:
        return when_absent
    if text not in _BOOLEANS:
        raise invalid_field(name, "invalid_type", f"{name} is {text[:40]!r}: send true or false")
    return _BOOLEANS[text]
