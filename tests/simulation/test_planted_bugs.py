import pytest

from tests.simulation.planted_bugs import PLANTED
from tests.simulation.run import run

NOTICED = [name for name, bug in PLANTED.items() if bug.seeds is not None]


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTICED)
def test_the_simulation_notices_a_planted_bug(name):
    """A simulation that does not see these would not see others."""
    bug = PLANTED[name]
    assert any(run(seed, plant=bug.plant).fault for seed in bug.seeds)


def test_there_are_many_planted_bugs():
    """A bug that is taken out must not go unseen."""
    assert len(NOTICED) >= 57
