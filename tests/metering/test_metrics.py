import subprocess
import sys

from metering.metrics import Durations, Metric, MetricKind, Tallies, read_tallies, render

SENT = Metric("sent_total", MetricKind.COUNTER, "What was sent.", "Send more.", "to")
TOOK = Metric("took_seconds", MetricKind.HISTOGRAM, "How long it took.", "Wait.", "class")
DURATIONS = Durations(TOOK, ("a", "b"), (1_000, 2_500_000))


def test_the_text_is_that_of_prometheus():
    """Help with meaning and remedy, type, then each series under its own metric."""
    samples = {SENT.sample("x"): "3", 'other{to="x"}': "1", SENT.sample("y"): "0"}
    assert render([SENT], samples) == (
        "# HELP sent_total What was sent. Send more.\n"
        "# TYPE sent_total counter\n"
        'sent_total{to="x"} 3\n'
        'sent_total{to="y"} 0\n'
    )


def test_durations_are_counted_in_the_first_bucket_that_holds_them():
    """A bound belongs to its bucket; buckets add up, the sum is in seconds, classes stay apart."""
    cells = ["before", *DURATIONS.cells()]
    counted = [0] * len(cells)
    for which, duration_us in [(0, 0), (0, 1_000), (0, 1_001), (0, 2_500_001), (1, 7)]:
        place, total = DURATIONS.cell_of(1, which, duration_us)
        counted[place] += 1
        counted[total] += duration_us
    samples = DURATIONS.samples(dict(zip(cells, counted, strict=True)))
    assert samples == {
        'took_seconds_bucket{class="a",le="0.001"}': "2",
        'took_seconds_bucket{class="a",le="2.5"}': "3",
        'took_seconds_bucket{class="a",le="+Inf"}': "4",
        'took_seconds_sum{class="a"}': "2.502002",
        'took_seconds_count{class="a"}': "4",
        'took_seconds_bucket{class="b",le="0.001"}': "1",
        'took_seconds_bucket{class="b",le="2.5"}': "1",
        'took_seconds_bucket{class="b",le="+Inf"}': "1",
        'took_seconds_sum{class="b"}': "0.000007",
        'took_seconds_count{class="b"}': "1",
    }
    assert render([TOOK], samples).count("took_seconds_") == len(samples)


def test_counts_of_all_processes_are_added_and_outlive_them(tmp_path):
    """A process that is killed in the middle has lost nothing it counted; started again, it goes on."""
    script = (
        "import os, sys; from pathlib import Path\n"
        "from metering.metrics import Tallies\n"
        "tallies = Tallies(Path(sys.argv[1]), ['a', 'b'])\n"
        "for _ in range(1000): tallies.cells[1] += 1\n"
        "os.kill(os.getpid(), 9)\n"
    )
    for name in ("gateway 1", "gateway 2", "gateway 1"):
        subprocess.run([sys.executable, "-c", script, str(tmp_path / name)], check=False)
    with Tallies(tmp_path / "gateway 1", ["a", "other"]) as others:
        others.cells[0] += 5
    assert read_tallies(tmp_path, ["a", "b"]) == {"a": 0, "b": 3000}
    assert read_tallies(tmp_path / "nowhere", ["a", "b"]) == {}
