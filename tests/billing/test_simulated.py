"""What a simulation tells of all customers together."""

from billing.simulations.model import Outcome
from billing.simulations.rating import STEPS, summary_of


def told(*outcomes):
    return summary_of(
        ["draft"], [Outcome(f"cus_{index}", now, [amount]) for index, (now, amount) in enumerate(outcomes)]
    )


def customers_of(summary):
    return [step["customers"] for step in summary["comparison"][0]["distribution"]]


def test_who_pays_more_loses_and_who_pays_less_wins():
    """By how much in all; who stays is counted, and who has no present price is not compared."""
    summary = told((100, 150), (100, 90), (100, 100), (None, 7), (0, 5))
    assert summary["totals"] == [{"name": "draft", "amount": 352}]
    assert (summary["customers"], summary["current_total"], summary["without_current"]) == (5, 300, 1)
    (comparison,) = summary["comparison"]
    assert comparison["losers"] == {"count": 2, "amount": 55}
    assert comparison["winners"] == {"count": 1, "amount": -10}
    assert (comparison["unchanged"], comparison["not_compared"]) == (1, 1)


def test_each_step_of_the_distribution_holds_its_upper_bound():
    """Exactly, without dividing: 5 per cent of 300 is 15, and 16 is more."""
    for place, step in enumerate(STEPS):
        if step:
            assert customers_of(told((300, 300 + 3 * step)))[place] == 1
            assert customers_of(told((300, 300 + 3 * step + 1)))[place + 1] == 1


def test_credits_and_customers_who_pay_nothing_have_their_place():
    """Who is owed 100 and then 50 pays 50 per cent more; from nothing there is no per cent."""
    assert customers_of(told((-100, -50)))[STEPS.index(50)] == 1
    assert customers_of(told((0, 5)))[-1] == 1
    assert sum(customers_of(told((0, 0), (5, 5)))) == 0
