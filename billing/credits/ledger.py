"""Follow the credits of one customer through time: pure, no I/O, no clock.

What comes in is a lot, which may expire. Usage draws on the lot that expires first, of equals on the one that came
first. What it draws beyond all lots is owed: the balance is below 0, and what comes in next pays that first. So a
balance is always what came in, less what was drawn, less what expired, and each movement tells the balance after it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import StrEnum

from billing.money import MONEY
from metering.timestamps import LATEST_US

_ZERO = Decimal(0)
_DIGEST_CHARACTERS = 24


class MovementKind(StrEnum):
    """Why a balance moved."""

    TOPUP = "topup"
    """Credits that were given."""
    PURCHASE = "purchase"
    """Credits that were bought."""
    GRANT = "grant"
    """Credits that a period of a subscription comes with."""
    USAGE = "usage"
    """What usage drew, by weight, or what a client retained."""
    EXPIRATION = "expiration"
    """What was left of credits when they expired."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """Credits, above 0, that come in at an instant, and are no more from `expires_us` on."""

    id: str
    kind: MovementKind
    credits: Decimal
    at_us: int
    expires_us: int | None = None


@dataclass(frozen=True, slots=True)
class Retained:
    """Credits that a client said were used, besides what is counted from events."""

    id: str
    credits: Decimal
    at_us: int
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Movement:
    """One step of a balance: `credits` below 0 went. `until_us` is there for usage that was counted, up to then."""

    id: str
    kind: MovementKind
    credits: Decimal
    at_us: int
    balance: Decimal
    until_us: int | None = None
    expires_us: int | None = None
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """The time from credits that came in to the next ones: up to when, None is now, and the least balance within."""

    incoming_id: str
    until_us: int | None
    least: Decimal


def instants(opened_us: int, incoming: Iterable[Incoming], retained: Iterable[Retained], now_us: int) -> list[int]:
    """Give where usage has to be told apart, ascending: it is counted from each to the next, and from the last on."""
    known = [*(one.at_us for one in incoming), *(one.expires_us for one in incoming), *(one.at_us for one in retained)]
    return sorted({opened_us, *(at_us for at_us in known if at_us is not None and opened_us < at_us <= now_us)})


def movements(
    account_id: str,
    steps: Sequence[tuple[int, int, Decimal]],
    incoming: Sequence[Incoming],
    retained: Sequence[Retained],
) -> list[Movement]:
    """Give every movement of a balance in order. `steps` are `(start, end, credits drawn by usage)`, as `instants` cut.

    At one instant credits expire first, then others come in, then what was retained is drawn, then usage.
    """
    ledger, out = _Ledger(account_id), list[Movement]()
    came, drawn = sorted(incoming, key=_order), sorted(retained, key=lambda one: (one.at_us, one.id))
    with localcontext(MONEY):
        for number, (start_us, end_us, used) in enumerate(steps):
            first = number == 0
            out += ledger.expire(start_us)
            for one in came:
                if one.at_us == start_us or (first and one.at_us < start_us):
                    out.append(ledger.add(one))
            for each in drawn:
                if each.at_us == start_us or (first and each.at_us < start_us):
                    ledger.draw(each.credits)
                    kind = MovementKind.USAGE
                    out.append(
                        Movement(each.id, kind, -each.credits, each.at_us, ledger.balance, event_id=each.event_id)
                    )
            if used:
                ledger.draw(used)
                name = ledger.name("usage", start_us)
                out.append(Movement(name, MovementKind.USAGE, -used, start_us, ledger.balance, until_us=end_us))
    return out


def stretches(moved: Sequence[Movement]) -> list[Stretch]:
    """Give how low the balance came after each time that credits came in."""
    out: list[Stretch] = []
    for one in moved:
        if one.kind in {MovementKind.TOPUP, MovementKind.PURCHASE, MovementKind.GRANT}:
            if out:
                out[-1] = Stretch(out[-1].incoming_id, one.at_us, out[-1].least)
            out.append(Stretch(one.id, None, one.balance))
        elif out:
            out[-1] = Stretch(out[-1].incoming_id, None, min(out[-1].least, one.balance))
    return out


def balance_of(moved: Sequence[Movement]) -> Decimal:
    """Give what is left after all movements."""
    return moved[-1].balance if moved else _ZERO


def _order(one: Incoming) -> tuple[int, str]:
    return one.at_us, one.id


@dataclass(slots=True)
class _Lot:
    incoming: Incoming
    left: Decimal


class _Ledger:
    """Lots and what is owed beyond them; to be used under `MONEY`."""

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id
        self._lots: list[_Lot] = []
        self._owed = _ZERO

    @property
    def balance(self) -> Decimal:
        return sum((lot.left for lot in self._lots), start=_ZERO) - self._owed

    def name(self, *place: object) -> str:
        """Name a movement that is not kept: the same each time it is worked out."""
        shown = "/".join(map(str, (self._account_id, *place)))
        return f"cdt_{hashlib.sha256(shown.encode()).hexdigest()[:_DIGEST_CHARACTERS]}"

    def expire(self, at_us: int) -> list[Movement]:
        out = []
        for lot in [lot for lot in self._lots if (lot.incoming.expires_us or at_us + 1) <= at_us]:
            self._lots.remove(lot)
            if lot.left:
                one = lot.incoming
                name, expired_us = self.name("expiration", one.id), one.expires_us or at_us
                out.append(Movement(name, MovementKind.EXPIRATION, -lot.left, expired_us, self.balance))
        return out

    def add(self, one: Incoming) -> Movement:
        paid = min(self._owed, one.credits)
        self._owed -= paid
        self._lots.append(_Lot(one, one.credits - paid))
        return Movement(one.id, one.kind, one.credits, one.at_us, self.balance, expires_us=one.expires_us)

    def draw(self, amount: Decimal) -> None:
        """Draw credits; below 0 they come back, to what is owed first, then to lots that never expire."""
        if amount < 0:
            returned = Incoming("", MovementKind.USAGE, -amount, 0)
            self.add(returned)
            return
        self._lots.sort(key=lambda lot: (lot.incoming.expires_us or LATEST_US, _order(lot.incoming)))
        for lot in self._lots:
            taken = min(lot.left, amount)
            lot.left -= taken
            amount -= taken
        self._lots = [lot for lot in self._lots if lot.left]
        self._owed += amount
