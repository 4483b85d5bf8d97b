"""Balances of credits: what comes in, what is drawn and what expires always add up."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.credits.ledger import Incoming, MovementKind, Retained, balance_of, instants, movements, stretches

TOPUP, _, GRANT, USAGE, EXPIRATION = MovementKind


def a_lot(name, amount, at_us, expires_us=None, kind=TOPUP):
    return Incoming(name, kind, Decimal(amount), at_us, expires_us)


def moved(now_us, incoming, used=(), retained=()):
    """Give the movements until now of an account that was opened at 0; `used` are pairs of an instant and credits."""
    edges = [*instants(0, incoming, retained, now_us), now_us + 1]
    steps = [
        (start, end, sum((Decimal(amount) for at, amount in used if start <= at < end), start=Decimal(0)))
        for start, end in pairwise(edges)
    ]
    return movements("cda_1", steps, incoming, retained)


def shown(found):
    return [(one.kind, one.credits, one.at_us, one.balance) for one in found]


def test_what_expires_first_is_drawn_first():
    """5 until 10, and 3 for ever: 4 drawn by 10 leave 1 that expires; 2 drawn later leave 1."""
    lots = [a_lot("a", 3, 0), a_lot("b", 5, 2, 10)]
    assert shown(moved(20, lots, [(5, 4), (15, 2)])) == [
        (TOPUP, 3, 0, 3),
        (TOPUP, 5, 2, 8),
        (USAGE, -4, 2, 4),
        (EXPIRATION, -1, 10, 3),
        (USAGE, -2, 10, 1),
    ]


def test_what_is_drawn_beyond_all_is_owed_and_paid_first():
    """7 of 5 leave 2 owed, of which the next 10 are 8; nothing that is owed expires."""
    found = moved(30, [a_lot("a", 5, 1, 10), a_lot("b", 10, 20)], [(3, 7)])
    assert [one.balance for one in found] == [5, -2, 8]


def test_what_is_retained_is_drawn_once_and_named():
    """Besides what is counted."""
    (_, drawn) = moved(9, [a_lot("a", 5, 1)], retained=[Retained("cdt_1", Decimal(2), 4, "e1")])
    assert (drawn.id, drawn.credits, drawn.balance, drawn.event_id) == ("cdt_1", -2, 3, "e1")


def test_what_is_not_due_yet_is_not_there():
    """Neither what comes in later, nor what expires later."""
    assert shown(moved(4, [a_lot("a", 5, 1, 9), a_lot("b", 5, 8)])) == [(TOPUP, 5, 1, 5)]
    assert balance_of(moved(0, [])) == 0


@pytest.mark.parametrize(
    ("used", "expected"),
    [([], [("a", 5), ("b", 8)]), ([(1, 5)], [("a", 0), ("b", 3)]), ([(1, 2), (6, 9)], [("a", 3), ("b", -3)])],
)
def test_a_stretch_tells_the_least_that_was_left_of_what_came_in(used, expected):
    """From 5 that came in at 1 to 3 at 5, and from then on."""
    found = stretches(moved(9, [a_lot("a", 5, 1), a_lot("b", 3, 5)], used))
    assert [(one.incoming_id, one.least) for one in found] == expected
    assert [one.until_us for one in found] == [5, None]


lots = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 30), st.none() | st.integers(1, 20)), max_size=6).map(
    lambda sent: [
        a_lot(f"l{index}", amount, at_us, None if days is None else at_us + days)
        for index, (amount, at_us, days) in enumerate(sent)
    ]
)


@given(lots, st.lists(st.tuples(st.integers(0, 40), st.integers(-3, 20)), max_size=8), st.integers(0, 60))
def test_a_balance_is_what_came_in_less_what_went(incoming, used, now_us):
    """Movement by movement; without expiry it is the plain sum, and no more expires than came in."""
    found = moved(now_us, incoming, used)
    balance = Decimal(0)
    for one in found:
        balance += one.credits
        assert one.balance == balance
    came = sum(one.credits for one in incoming if one.at_us <= now_us)
    drawn = sum(amount for at_us, amount in used if at_us <= now_us)
    expired = -sum(one.credits for one in found if one.kind is EXPIRATION)
    assert balance_of(found) == came - drawn - expired if found else came - drawn == 0 or not drawn
    assert 0 <= expired <= came
    assert len({one.id for one in found}) == len(found)
