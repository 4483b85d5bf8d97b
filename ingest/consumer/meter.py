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
PARTITIONS = Metric(
    "meterline_consumer_partitions",
    MetricKind.GAUGE,
    "Partitions of the log that consumers read now.",
    "Fewer over all consumers than the log has, for minutes: a consumer is gone, start another.",
)
CONSUMER_METRICS = (APPLIED_EVENTS, BATCHES, PARTITIONS)
OUTCOMES = ("read", "stored", "superseded", "dead")
CONSUMER_CELLS = (*(APPLIED_EVENTS.sample(outcome) for outcome in OUTCOMES), BATCHES.sample(), PARTITIONS.sample())


class ConsumerMeter:
    """Counts into this process's tallies."""

    def __init__(self, tallies: Tallies) -> None:
        """`tallies` has the `CONSUMER_CELLS`."""
        self._cells = tallies.cells
        self.reads(0)

    def drained(self, drained: Drained) -> None:
        """Count a batch."""
        counts = (drained.events, drained.stored, drained.superseded, drained.dead, 1)
        for cell, count in enumerate(counts):
            self._cells[cell] += count

    def reads(self, partitions: int) -> None:
        """Learn how many partitions are read now."""
        self._cells[len(CONSUMER_CELLS) - 1] = partitions
