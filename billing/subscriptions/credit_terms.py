"""What is agreed about a credit product in a subscription: how credits are granted, and how long they last."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing.catalog.credits import GrantMode
from metering.http.fields import Fields

CREDIT_FIELDS = ("credits_expiration_in_days", "expire_credits_at_end_of_period")
"""What a request says of credits."""
CREDIT_SHOWN = ("credits_grant_mode", *CREDIT_FIELDS)
"""What a subscription tells of credits; the mode is that of the product when it was subscribed to."""
DAYS_MAX = 36_500


@dataclass(frozen=True, slots=True)
class CreditTerms:
    """How a period's credits are granted. Without either expiry they last."""

    grant_mode: GrantMode = GrantMode.PRORATED
    expires_in_days: int | None = None
    expires_with_period: bool = False

    def document(self) -> dict[str, Any]:
        """Give them as they go out."""
        return {
            "credits_grant_mode": self.grant_mode.value,
            "credits_expiration_in_days": self.expires_in_days,
            "expire_credits_at_end_of_period": self.expires_with_period,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "CreditTerms":
        """Give back what `document` gave."""
        return cls(
            GrantMode(document["credits_grant_mode"]),
            document["credits_expiration_in_days"],
            document["expire_credits_at_end_of_period"],
        )


def read_credit_terms(reader: Fields) -> CreditTerms | None:
    """Read the terms of credits, None where none is sent; the mode is that of the product."""
    days = reader.integer("credits_expiration_in_days", least=1, most=DAYS_MAX)
    with_period = reader.boolean("expire_credits_at_end_of_period")
    if days is not None and with_period:
        message = "contradicts credits_expiration_in_days: send one of the two"
        reader.fault("expire_credits_at_end_of_period", "contradiction", message)
    if all(reader.raw(name) is None for name in CREDIT_FIELDS):
        return None
    return CreditTerms(expires_in_days=days, expires_with_period=bool(with_period))
