"""The geometry of charts: bars end where their figures say, on round gridlines, at any number of windows."""

from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.pages.chart import LABELS_MAX, NARROW_LABELS_MAX, PLOT_HEIGHT, TOP, Point, lay_out, sparkline
from metering.timestamps import DAY, HOUR
from metering.windows import Granularity

unhurried = settings(deadline=None)

UTC = ZoneInfo("UTC")
START_US = 1_740_960_000_000_000
"""Monday 2025-03-03."""

values = st.lists(st.none() | st.decimals(-(10**20), 10**20, places=3), min_size=1, max_size=800)


def a_chart(*numbers, whole=False, step_us=DAY, granularity=Granularity.DAY):
    points = [
        Point(START_US + index * step_us, None if number is None else Decimal(number), "", "", open=False)
        for index, number in enumerate(numbers)
    ]
    return lay_out(points, granularity, UTC, whole=whole)


def test_bars_stand_on_the_line_of_zero():
    """A bar twice as large is twice as tall, and one below zero hangs from the line."""
    small, large, below, none = a_chart(50, 100, -100, None).bars
    assert large.height == 2 * small.height
    assert small.top + small.height == large.top + large.height == below.top
    assert below.height == large.height
    assert none.height == 0


def test_the_smallest_figure_is_seen():
    """What is there has a bar, however small beside the others; what is nothing has none."""
    tiny, zero, _ = a_chart("0.000001", 0, 10**12).bars
    assert tiny.height > 1
    assert zero.height == 0


@unhurried
@given(values, st.booleans())
def test_everything_lies_within_the_plot(numbers, whole):
    """No bar and no gridline sticks out, whatever the figures."""
    chart = a_chart(*numbers, whole=whole)
    assert 2 <= len(chart.gridlines) <= 8
    assert sum(line.is_zero for line in chart.gridlines) == 1
    for bar in chart.bars:
        assert bar.top >= -0.02
        assert bar.top + bar.height <= TOP + PLOT_HEIGHT + 2
    assert all(0 <= line.y <= TOP + PLOT_HEIGHT for line in chart.gridlines)


def test_gridlines_are_round():
    """People read 0, 500k, 1M, not 0, 433k, 866k."""
    assert [line.label for line in a_chart(1_730_000).gridlines] == ["0", "500k", "1M", "1.5M", "2M"]
    assert [line.label for line in a_chart("0.003").gridlines] == ["0", "0.001", "0.002", "0.003"]


def test_counts_have_no_half_gridlines():
    """Nobody has half an event."""
    assert [line.label for line in a_chart(1, 2, whole=True).gridlines] == ["0", "1", "2"]


def test_an_empty_chart_has_a_ground():
    """Zeros alone draw the axis and no bar."""
    chart = a_chart(0, 0, 0)
    assert next(line.label for line in chart.gridlines) == "0"
    assert not any(bar.height for bar in chart.bars)


@unhurried
@given(st.integers(1, 800), st.sampled_from([(Granularity.HOUR, HOUR), (Granularity.DAY, DAY)]))
def test_labels_never_crowd(count, cut):
    """There are a few labels at a desk, fewer on a phone, and at least one."""
    granularity, step_us = cut
    labels = a_chart(*range(count), step_us=step_us, granularity=granularity).labels
    assert 1 <= len(labels) <= LABELS_MAX
    assert 1 <= sum(label.narrow for label in labels) <= NARROW_LABELS_MAX


def test_days_are_labelled_on_mondays():
    """Over weeks, each label is the beginning of one."""
    labels = a_chart(*range(40)).labels
    assert [label.first_line for label in labels] == ["3 Mar", "10 Mar", "17 Mar", "24 Mar", "31 Mar", "7 Apr"]


def test_a_sparkline_is_as_tall_as_its_most():
    """Its largest value fills it; without any it is flat."""
    assert [bar[3] for bar in sparkline([0, 5, 10], 28)] == [0, 14, 28]
    assert [bar[3] for bar in sparkline([0, 0], 28)] == [0, 0]
