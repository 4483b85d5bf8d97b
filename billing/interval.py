"""How often something is billed, or for how long somebody is committed: so many units of the calendar."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metering.http.fields import Fields
from metering.windows import Period

COUNT_MAX = 120
_MONTHS_OF_A_YEAR = 12


@dataclass(frozen=True, slots=True)
class Interval:
    """`count` calendar units. Years are kept as months: 1 year and 12 months are the same calendar and one price."""

    period: Period
    count: int

    @classmethod
    def of(cls, period: Period, count: int) -> "Interval":
        """Give the interval in its one form."""
        return cls(Period.MONTHS, count * _MONTHS_OF_A_YEAR) if period is Period.YEARS else cls(period, count)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Interval":
        """Give back what `document` gave."""
        return cls.of(Period(document["period"]), document["count"])

    def document(self) -> dict[str, Any]:
        """Give `{"period", "count"}`, in years where they are whole."""
        if self.period is Period.MONTHS and self.count % _MONTHS_OF_A_YEAR == 0:
            return {"period": Period.YEARS.value, "count": self.count // _MONTHS_OF_A_YEAR}
        return {"period": self.period.value, "count": self.count}

    def __str__(self) -> str:
        shown = self.document()
        unit = str(shown["period"]).removesuffix("s") if shown["count"] == 1 else shown["period"]
        return f"{shown['count']} {unit}"


def read_interval(fields: Fields, name: str, *, required: bool = False) -> Interval | None:
    """Read `{"period": "months", "count": 1}`; `count` is 1 when it is absent."""
    inner = fields.object(name)
    if inner is None:
        if required and fields.raw(name) is None:
            fields.fault(name, "required", 'is needed: send {"period": "months", "count": 1}')
        return None
    period = inner.choice("period", Period, required=True)
    count = inner.integer("count", least=1, most=COUNT_MAX) if inner.raw("count") is not None else 1
    return None if period is None or count is None else Interval.of(period, count)
