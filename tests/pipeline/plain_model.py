"""What must come out, in plain Python and exact fractions: no code shared with the product."""

from collections import defaultdict
from datetime import datetime, timedelta
from fractions import Fraction


class PlainModel:
    """Latest version of each key: greatest timestamp, of equal ones the last received."""

    def __init__(self):
        self.current = {}
        self.received = 0

    def receive(self, event):
        self.received += 1
        key = event["event_type"], str(event["record"]["id"])
        version = (moment(event["timestamp"]), self.received, event)
        if key not in self.current or version[:2] > self.current[key][:2]:
            self.current[key] = version

    def retract(self, keys):
        """Forget these; a version that comes later begins anew."""
        for key in keys:
            self.current.pop(key, None)

    def usage(self, customer, start=None, end=None):
        """Events and the sum of every numeric property, within [start, end)."""
        total = defaultdict(int)
        for when, _, event in self.current.values():
            if event["customer_id"] == customer and (start is None or start <= when < end):
                total["events"] += 1
                for name, value in event["record"].items():
                    if name != "id":
                        total[name] += value
        return total


def moment(text):
    """A timestamp without a zone, digits beyond microseconds cut."""
    head, _, fraction = text.rstrip("Z").replace("T", " ").partition(".")
    digits = (fraction + "000000")[:6]
    return datetime.strptime(head, "%Y-%m-%d %H:%M:%S") + timedelta(microseconds=int(digits))  # noqa: DTZ007


def half_away(amount):
    """Round a Fraction to an integer, half away from zero."""
    doubled = abs(amount) * 2
    whole = (doubled.numerator // doubled.denominator + 1) // 2
    return whole if amount >= 0 else -whole


def graduated(units, tiers):
    """tiers: [(to | None, amount, unit_count)]; each unit at its own tier's rate."""
    charge, start = Fraction(0), Fraction(0)
    for to, amount, unit_count in tiers:
        stop = units if to is None else min(Fraction(units), Fraction(to))
        charge += max(Fraction(0), stop - start) * Fraction(amount) / unit_count
        if to is None or units <= to:
            break
        start = Fraction(to)
    return charge
