import pytest

from tests.simulation.planted_bugs import PLANTED
from tests.simulation.run import run


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_the_simulation_notices_a_planted_bug(name):
    """A simulation that does not see these would not see others."""
    bug = PLANTED[name]
    assert any(run(seed, plant=bug.plant).fault for seed in bug.seeds)


def test_there_are_many_planted_bugs():
    """Twenty were asked for; a bug that is taken out must not go unseen."""
    assert len(PLANTED) >= 20
