"""`make torture`: storms of any length over both shapes of the product, with their progress and a line of results.

    KILLS=200 CUTS=1000 SEED=1 SHAPES=local,kafka make torture

Kills and cut answers are those of all shapes together. The seed is printed; it draws the same storm again, though not
at the same speed. A failure keeps what the product said last in its message.
"""

import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.torture.installation import Installation
from tests.torture.storm import Plan, storm

BROKERS = {"local": 0, "kafka": 3}
KILLS_A_ROUND = 10


def main():
    """Run it; the exit code is 1 at the first figure that is not exact."""
    kills, cuts = int(os.environ.get("KILLS") or 200), int(os.environ.get("CUTS") or 1000)
    seed = int(os.environ.get("SEED") or time.time_ns() % 1_000_000)
    shapes = (os.environ.get("SHAPES") or ",".join(BROKERS)).split(",")
    console = Console()
    console.print(f"seed {seed}, {kills} kills, {cuts} cut answers, {', '.join(shapes)}")
    for number, shape in enumerate(shapes):
        share = [total * (number + 1) // len(shapes) - total * number // len(shapes) for total in (kills, cuts)]
        plan = Plan(seed, share[0], share[1], max(1, share[0] // KILLS_A_ROUND))
        began = time.monotonic()
        outcome = _run(shape, plan, console)
        console.print(_line(shape, plan, outcome, time.monotonic() - began), soft_wrap=True)


def _run(shape, plan, console):
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory(prefix="torture-") as folder, Progress(*columns, console=console) as progress:
        bars = {
            name: progress.add_task(f"{shape}: {name}", total=total)
            for name, total in (("kills", plan.kills), ("cut answers", plan.cuts), ("rounds compared", plan.rounds))
        }
        counted = progress.add_task(f"{shape}: events", total=None)

        def tell(outcome):
            progress.update(bars["kills"], completed=outcome.kills.total())
            progress.update(bars["cut answers"], completed=outcome.answers_cut)
            progress.update(bars["rounds compared"], completed=outcome.rounds)
            progress.update(counted, completed=outcome.events)

        with Installation(Path(folder), brokers=BROKERS[shape]) as installation:
            return asyncio.run(storm(installation, plan, tell))


def _line(shape, plan, outcome, seconds):
    def each(counter):
        return ", ".join(f"{count} {kind}" for kind, count in sorted(counter.items())) or "none"

    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    ).stdout.strip()
    return (
        f"{datetime.now(UTC):%Y-%m-%d} · {commit} · {shape} · seed {plan.seed} · exact: "
        f"{outcome.kills.total()} kills ({each(outcome.kills)}), "
        f"{outcome.answers_cut} answers cut ({each(outcome.cuts)}), "
        f"held still: {each(outcome.holds)}, denied the disk: {each(outcome.denials)}; "
        f"{outcome.events} events acknowledged, {outcome.requests_unanswered} requests sent again, "
        f"{outcome.figures} figures compared in {outcome.rounds} rounds, {outcome.settled_late} keys settled late; "
        f"{seconds:.0f} s, {os.cpu_count()} cores, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    sys.exit(main())
