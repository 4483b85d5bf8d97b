"""What a line owes is what its events add and what it owes beyond them, to the unit and to the last decimal."""

from decimal import Decimal
from fractions import Fraction
from operator import itemgetter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.catalog.model import PriceGroup
from billing.explained.beyond import Reason, owed_after, owed_before, owed_for_level, owed_without_events
from billing.explained.figures import RunningFigures
from billing.explained.running import running_after, running_figure
from billing.explained.standing import added
from billing.invoices.asking import as_one_event
from billing.invoices.lines import BilledProduct, Counted, WindowUsage, charged, invoice_lines, window_rated
from billing.money import MONEY
from metering.aggregation import (
    ADDS_UP,
    READS_EARLIER,
    Aggregator,
    Occurrence,
    Operation,
    no_usage,
    settled,
    total_of,
)
from metering.store.explorer import StoredEvent
from metering.store.ordered import CountedEvent
from metering.windows import Window
from tests.billing.test_marginal import CARD, NOON_US, a_product, each, graduated, percentages, terms, tiers

numbers = st.lists(st.one_of(st.integers(-3, 9).map(Decimal), st.decimals(-20, 60, places=3)), max_size=14)
signed_terms = st.builds(
    lambda chosen, least: {**chosen, **({} if least is None else {"min_amount": least})},
    terms,
    st.one_of(st.none(), st.integers(0, 300)),
)


def sum_of(numbers):
    total = Decimal(0)
    for one in numbers:
        total = MONEY.add(total, one)
    return total


def explained(product, events, allows=False, begin=0):
    """Give the line, what each event from `begin` on adds, and what is owed beyond; events are (group, value)."""
    totals = [sum_of(value for index, value in events if index == group) for group in range(len(product.groups))]
    values = [value for _, value in events]
    counted = Counted(totals, values, allows)
    (line,) = invoice_lines([BilledProduct(product, "Calls", [WindowUsage(counted)])], "EUR", Fraction(1))
    _, own_terms = charged(product, counted, Fraction(1))
    before = events[:begin]
    until = [sum_of(value for index, value in before if index == group) for group in range(len(product.groups))]
    running = running_after(product.groups, own_terms, until, values[:begin])
    begun = running.standing
    steps = [running.add(group, value) for group, value in events[begin:]]
    entries = [
        *owed_before(product.groups, own_terms),
        *owed_after(window_rated(product, WindowUsage(counted)), running.standing),
    ]
    return line, begun, steps, entries


def holds(line, begun, steps, entries, begin):
    """Hold lines, tiers, events and entries against each other."""
    owed = [entry.added for entry in entries if entry.reason not in (Reason.ROUNDING, Reason.ALREADY_BILLED)]
    after = [entry.added for entry in entries if entry.reason in (Reason.ROUNDING, Reason.ALREADY_BILLED)]
    if begin == 0:
        assert begun.exact == sum_of(one.exact for one in owed)
        assert begun.amount == sum(one.amount for one in owed)
    assert begun.exact + sum_of(one.exact for one in [*steps, *after]) == line.signed_amount
    assert begun.amount + sum(one.amount for one in [*steps, *after]) == line.signed_amount
    for one in [*steps, *owed]:
        shares = sum_of(share.exact for _, share in one.tiers)
        assert MONEY.add(shares, sum_of(one.adjustments.values())) == one.exact


@settings(max_examples=150)
@given(st.one_of(graduated, percentages, each), signed_terms, numbers, st.booleans(), st.data())
def test_events_and_entries_add_up_to_the_line(rows, agreed_terms, amounts, allows, data):
    """Every model, with refunds, clamps, commitments and credits, from the first event or from any other."""
    product = a_product(PriceGroup(None, rows), **agreed_terms)
    begin = data.draw(st.integers(0, len(amounts)))
    holds(*explained(product, [(0, value) for value in amounts], allows, begin), begin)


@settings(max_examples=100)
@given(st.tuples(graduated, graduated), signed_terms, numbers, st.booleans(), st.data())
def test_a_matrix_adds_up(rows, agreed_terms, amounts, allows, data):
    """Whichever group each event is charged by."""
    visa, rest = rows
    agreed_terms.pop("min_committed_count", None)
    product = a_product(PriceGroup(CARD, visa), PriceGroup(None, rest), **agreed_terms)
    events = [(data.draw(st.integers(0, 1)), value) for value in amounts]
    begin = data.draw(st.integers(0, len(amounts)))
    holds(*explained(product, events, allows, begin), begin)


@settings(max_examples=60)
@given(st.one_of(graduated, percentages, each), signed_terms, numbers, st.booleans())
def test_tiers_of_events_add_up_to_the_tiers_of_the_line(rows, agreed_terms, amounts, allows):
    """In quantity exactly; what is owed before the first event stands in its tiers too."""
    product = a_product(PriceGroup(None, rows), **agreed_terms)
    line, _, steps, entries = explained(product, [(0, value) for value in amounts], allows)
    found = {}
    for one in [*steps, *(entry.added for entry in entries)]:
        for key, share in one.tiers:
            found[key.lower] = MONEY.add(found.get(key.lower, Decimal(0)), share.quantity)
    sign = -1 if line.entry_type.value == "credit" else 1
    shown = {tier.lower: sign * tier.quantity for tier in line.tiers if hasattr(tier, "lower")}
    assert {lower: one for lower, one in found.items() if one} == {lower: one for lower, one in shown.items() if one}


FIGURES = sorted(set(Operation) - ADDS_UP)
WINDOW = Window(NOON_US, NOON_US + 1_000)
moments = st.lists(
    st.tuples(st.integers(0, 999), st.one_of(st.none(), st.integers(-3, 9), st.decimals(-20, 60, places=3))),
    max_size=12,
)


def as_stored(operation, event, before):
    """Give an event as the store does, which knows the values of those before it."""
    value = event.record["n"]
    if operation is Operation.UNIQUE and value is not None:
        value = Decimal(all(value != other.record["n"] for other in before))
    stored = StoredEvent("evt_1", "call", event.timestamp_us, "cus_1", "r1", b"{}", 0, event.position)
    return CountedEvent(stored, 0, value)


@pytest.mark.slow
@settings(max_examples=200)
@given(
    st.sampled_from(FIGURES),
    st.one_of(graduated, percentages, each),
    signed_terms,
    moments,
    st.tuples(st.booleans(), st.integers(0, 9)),
)
def test_events_make_a_figure_that_is_no_sum_and_its_line(operation, rows, agreed_terms, used, drawn):
    """Each moves the figure to what it is anew with all events up to it, and the line to what that one costs."""
    aggregator, product = Aggregator("call", operation, "n"), a_product(PriceGroup(None, rows), **agreed_terms)
    numbers = [(offset, None if value is None else Decimal(value)) for offset, value in sorted(used, key=itemgetter(0))]
    events = [Occurrence({"n": value}, NOON_US + offset, at) for at, (offset, value) in enumerate(numbers)]
    allows, level = drawn[0], Decimal(drawn[1]) if operation in READS_EARLIER else None
    before = [] if level is None else [Occurrence({"n": level}, NOON_US - 1)]
    figures = [total_of(aggregator, [*before, *events[:count]], WINDOW) for count in range(len(events) + 1)]
    counted = Counted([figures[-1].rated], as_one_event(figures[-1]), allows)
    (line,) = invoice_lines([BilledProduct(product, "Calls", [WindowUsage(counted)])], "EUR", Fraction(1))
    _, own_terms = charged(product, counted, Fraction(1))

    def line_of(usage):
        return running_figure(product.groups, own_terms, [usage.rated], as_one_event(usage))

    standings = [line_of(figure).standing for figure in figures]
    begun = no_usage(operation) if level is None else settled(operation, (level, None, None), 0, 0, WINDOW)
    running, steps = RunningFigures(operation, WINDOW, [begun], line_of(begun)), []
    for at, event in enumerate(events):
        quantity, step = running.add(as_stored(operation, event, events[:at]))
        assert quantity == figures[at + 1].rated - figures[at].rated
        assert step == added(standings[at], standings[at + 1])
        steps.append(step)
    nothing = line_of(no_usage(operation)).standing
    entries = [
        *owed_before(product.groups, own_terms),
        *owed_for_level(nothing, standings[0]),
        *owed_after(window_rated(product, WindowUsage(counted)), standings[-1]),
    ]
    holds(line, standings[0], steps, entries, 0)


def priced(rows, *values, **agreed):
    _, _, steps, entries = explained(a_product(PriceGroup(None, rows), **agreed), [(0, Decimal(one)) for one in values])
    return [one.amount for one in steps], [(one.reason.value, one.added.amount) for one in entries]


def test_each_reason_is_named():
    """What no event pays for says why it is owed."""
    flat = tiers("volume", (5, 5), 10)
    assert priced(flat, 4, 4, min_amount=30) == ([0, 10], [("minimum", 30)])
    assert priced(flat, 4, 4, min_committed_count=Decimal(6)) == ([0, 10], [("commitment", 30)])
    assert priced(tiers("volume", (50, 30), 5, on_tier_incomplete="pay_in_full"), 3, 6) == (
        [0, 370 - 250],
        [("first_tier", 250)],
    )
    assert priced(tiers("volume", (Decimal("0.3"), 1), 10), 1, 1, 1) == ([0, 1, 0], [("rounding", 0)])
    assert priced(flat, 4, 4, min_committed_count=Decimal(6), max_amount=20) == (
        [0, 0],
        [("commitment", 30), ("maximum", -10)],
    )


def test_a_bulk_event_moves_all_units_to_another_tier():
    """What left a tier is below 0, and the event that reached the cheaper one took money off."""
    product = a_product(PriceGroup(None, tiers("bulk", (50, 30), 10)))
    _, _, (_, last), _ = explained(product, [(0, Decimal(10)), (0, Decimal(1))])
    assert [(key.lower, share.quantity, share.exact) for key, share in last.tiers] == [(0, -10, -500), (10, 11, 330)]
    assert (last.amount, last.exact) == (-170, -170)


def test_a_line_without_events_is_one_entry():
    """A fee is what it is."""
    product = a_product(PriceGroup(None, [{"type": "fee", "amount": 700}]))
    (line,) = invoice_lines([BilledProduct(product, "Base", None)], "EUR", Fraction(1))
    assert [(one.reason.value, one.added.amount) for one in owed_without_events(line)] == [("not_metered", 700)]
