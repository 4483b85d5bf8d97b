"""What clients send: the exact bytes, and what the plain model makes of them."""

from dataclasses import dataclass, field
from fractions import Fraction

MONTHS = range(1, 7)
CORRECTED, STEADY = "call", "heartbeat"
"""Events of the first type are corrected, moved and deleted; of the second never, so that figures may be judged even
while they grow."""
SHARED_CUSTOMERS = [f"customer-{number}" for number in range(12)]
STEADY_CUSTOMER = "steady"


@dataclass(frozen=True, slots=True)
class Event:
    """One version as it is sent. `amount` is its decimal text; `as_text` quotes an id that is a number."""

    event_type: str
    key: int
    customer: str
    timestamp: str
    amount: str
    as_text: bool = False
    body: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        identifier = f'"{self.key}"' if self.as_text else self.key
        text = (
            f'{{"customer_id":"{self.customer}","timestamp":"{self.timestamp}","event_type":"{self.event_type}",'
            f'"record":{{"id":{identifier},"amount":{self.amount}}}}}'
        )
        object.__setattr__(self, "body", text.encode())

    @property
    def name(self):
        """Its key, as the model and the product's addresses have it."""
        return self.event_type, str(self.key)

    @property
    def plain(self):
        """What `PlainModel` receives."""
        record = {"id": self.key, "amount": Fraction(self.amount)}
        return {
            "customer_id": self.customer,
            "timestamp": self.timestamp,
            "event_type": self.event_type,
            "record": record,
        }


def an_event(chance, key, customer, serial):
    """A version whose timestamp no other serial has; the amount needs all digits that are kept."""
    month, day, second = chance.choice(MONTHS), chance.randrange(1, 29), chance.randrange(60)
    # The serial lies in the minutes and microseconds, so that it decides about no month.
    minute, microsecond = divmod(serial, 1_000_000)
    timestamp = f"2024-{month:02}-{day:02}T00:{minute % 60:02}:{second:02}.{microsecond:06}Z"
    amount = f"{chance.randrange(-1_000, 100_000)}.{chance.randrange(1, 10**18):018}"
    return Event(CORRECTED, key, customer, timestamp, amount, chance.random() < 0.3)
