"""What a consumer counts: what it read and what became of it."""

from ingest.consumer.consumer import Drained
from metering.metrics import Metric, MetricKind, Tallies

APPLIED_EVENTS = Metric(
    "meterline_consumer_events_total",
    MetricKind.COUNTER,
    "Events that a consumer brought into the figures, by what became of them: read, stored, superseded or dead.",
    "read far above stored: clients send again what is there. dead: meterline dead-letters list.",
    "outcome",
)
BATCHES = Metric(
    "meterline_consumer_batches_total",
    MetricKind.COUNTER,
    "Batches that a consumer wrote whole.",
    "Flat while meterline_lag_events grows: the store or the registry does not answer, read what the consumer says.",
)
LOOKED_UP = Metric(
    "meterline_consumer_looked_up_total",
    MetricKind.COUNTER,
    "Keys of events that a consumer looked up in the store, because they may be there.",
    "Near all events that are read although clients send new ones: see meterline_consumer_wrong_filters_total.",
)
WRONG_FILTERS = Metric(
    "meterline_consumer_wrong_filters_total",
    MetricKind.COUNTER,
    "Filters of seen keys that were found wrong and thrown away before they were used.",
    "Figures are exact, and come slower for some batches. More than one: test this machine's memory, and report it.",
)
PARTITIONS = Metric(
    "meterline_consumer_partitions",
    MetricKind.GAUGE,
    "Partitions of the log that consumers read now.",
    "Fewer over all consumers than the log has, for minutes: a consumer is gone, start another.",
)
CONSUMER_METRICS = (APPLIED_EVENTS, BATCHES, LOOKED_UP, WRONG_FILTERS, PARTITIONS)
OUTCOMES = ("read", "stored", "superseded", "dead")
CONSUMER_CELLS = (
    *(APPLIED_EVENTS.sample(outcome) for outcome in OUTCOMES),
    BATCHES.sample(),
    LOOKED_UP.sample(),
    WRONG_FILTERS.sample(),
    PARTITIONS.sample(),
)


class ConsumerMeter:
    """Counts into this process's tallies."""

    def __init__(self, tallies: Tallies) -> None:
        """`tallies` has the `CONSUMER_CELLS`."""
        self._cells = tallies.cells
        self.reads(0)

    def drained(self, drained: Drained) -> None:
        """Count a batch."""
        outcomes = (drained.events, drained.stored, drained.superseded, drained.dead)
        counts = (*outcomes, 1, drained.looked_up, drained.wrong_filters)
        for cell, count in enumerate(counts):
            self._cells[cell] += count

    def reads(self, partitions: int) -> None:
        """Learn how many partitions are read now."""
        self._cells[len(CONSUMER_CELLS) - 1] = partitions
