"""Run one seed: an installation under faults, clients that never give up, and the oracle's verdict."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random
from unittest.mock import patch

import structlog

from tests.simulation.installation import STANDSTILL_S_MAX, Installation
from tests.simulation.registry import moment
from tests.simulation.verdict import verdict

FAULTS_S = (5, 12)
"""For so long, virtually, things go wrong."""
PROGRESS_S_MAX = 180
"""So long after the last fault everything must have been taken and applied."""
SETTLE_S = 12
"""So long after the last zombie woke, the last of its statements has come to an end."""


@dataclass
class Outcome:
    """How a run ended: `fault` is None where everything held."""

    seed: int
    fault: str | None
    trace: list[tuple[float, str, str]]
    faults: Counter[str]


def run(seed: int, *, plant=None) -> Outcome:
    """Run a seed; `plant` is a planted bug, entered for the time of the run."""
    with ExitStack() as stack:
        installation = Installation(seed)
        scheduler = installation.scheduler

        def note(_logger, _name, entry):
            scheduler.note("log", str(entry))
            return entry

        stack.enter_context(structlog.testing.capture_logs(processors=[structlog.processors.format_exc_info, note]))
        for target, value in _settings(installation):
            stack.enter_context(patch(target, value))
        if plant is not None:
            stack.enter_context(plant())
        stack.callback(scheduler.close)
        try:
            fault = _play(installation)
        except AssertionError as error:
            fault = f"{type(error).__name__}: {error}"
    return Outcome(seed, fault, scheduler.trace, installation.faults.counts)


def _settings(installation: Installation):
    """Give what is set otherwise in a run: small batches, and no chance but the seed's."""
    random = installation.random
    ids = Random(random.random())
    return [
        ("metering.ids._random", lambda: f"{ids.randrange(36**8):015d}"),
        ("metering.ids.time.time_ns", lambda: installation.now_us() * 1000),
        ("deploy.adapters.now", lambda: moment(installation.scheduler)),
        ("ingest.consumer.intake.BATCH_EVENTS_MAX", random.choice((3, 12, 100_000))),
        ("ingest.consumer.intake._POLL_EVENTS_MIN", 1),
        ("ingest.consumer.batch.RUN_EVENTS_MAX", random.choice((1, 3, 10_000))),
        ("ingest.consumer.seen.WORDS_MIN", 1 << 10),
        # Down to none, so that each check of a filter has to hold alone.
        ("ingest.consumer.look_up.PROBED_MAX", random.choice((0, 1, 8))),
        ("ingest.consumer.look_up.CANARIES", random.choice((0, 2, 256))),
        ("ingest.consumer.look_up.FRESH_CANARIES", random.choice((0, 2, 64))),
        ("ingest.consumer.lag.POLL_S_MIN", 0.05),
        ("ingest.log.archive.keeper.RETRY_S", 1.0),
        ("ingest.log.server.bind_private", lambda path: path),
        ("ingest.log.spool.keeper.SEGMENT_BYTES", installation.segment_bytes),
        ("ingest.log.spool.keeper.WINDOW_EVENTS_MAX", random.choice((1, 4, 50_000))),
        ("ingest.consumer.lag.POLL_S_MAX", 0.4),
    ]


def _play(installation: Installation) -> str | None:
    random, scheduler = installation.random, installation.scheduler
    installation.start()
    world, clients = installation.world, installation.clients
    world.spawn(installation.misfortune())
    sending = [clients.spawn(installation.client(random.randint(3, 12))) for _ in range(random.randint(1, 4))]
    clients.spawn(installation.observer())
    broken = installation.broken
    scheduler.run(random.uniform(*FAULTS_S), lambda: bool(broken or scheduler.unhandled))
    installation.faults.active = False
    scheduler.note("world", "the last fault is over")
    quiet_at = scheduler.now

    def ended() -> bool:
        return bool(broken or scheduler.unhandled) or (
            all(task.done() for task in sending) and installation.all_applied()
        )

    if not scheduler.run(quiet_at + PROGRESS_S_MAX, ended):
        open_tasks = sum(not task.done() for task in sending)
        return f"no progress after the last fault: {open_tasks} clients wait, all applied: {installation.all_applied()}"
    # Whoever stood still until now goes on with what it believed, and late statements come to an end.
    scheduler.run(
        max(scheduler.now, quiet_at + STANDSTILL_S_MAX) + SETTLE_S, lambda: bool(broken or scheduler.unhandled)
    )
    for task in sending:
        if task.done() and task.exception() is not None:
            raise task.exception()
    return next(iter([*broken, *scheduler.unhandled]), None) or verdict(installation)
