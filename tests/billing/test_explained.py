"""What a line owes is what its events add and what it owes beyond them, to the unit and to the last decimal."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.catalog.model import PriceGroup
from billing.explained.beyond import Reason, owed_after, owed_before, owed_without_events
from billing.explained.running import running_after
from billing.invoices.lines import BilledProduct, Counted, WindowUsage, charged, invoice_lines, window_rated
from billing.money import MONEY
from tests.billing.test_marginal import CARD, a_product, each, graduated, percentages, terms, tiers

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
