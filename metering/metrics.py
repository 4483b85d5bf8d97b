"""What is measured, each metric declared once with its meaning and its remedy, and the Prometheus text format.

Counts are made in many processes and read in one. Each process has a file of whole numbers of its own, mapped into
memory: adding is one store, reading needs nobody's help, and a process that is started again goes on counting where it
stopped. A process that dies in the middle loses nothing but what it was about to add.

Text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import mmap
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Self

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CELL_BYTES = 8


class MetricKind(StrEnum):
    """How a scraper treats it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `meaning` says what it counts, `remedy` what to do when it is not as it should be."""

    name: str
    kind: MetricKind
    meaning: str
    remedy: str
    label: str = ""

    def sample(self, value: str = "", suffix: str = "", upto: str = "") -> str:
        """Name one of its series: of a label's value, of a histogram's suffix and upper bound."""
        labels = [f'{self.label}="{value}"'] if self.label else []
        labels += [f'le="{upto}"'] if upto else []
        return self.name + suffix + (f"{{{','.join(labels)}}}" if labels else "")


@dataclass(frozen=True, slots=True)
class Durations:
    """A histogram of durations for each of some classes; `bounds_us` are upper bounds in microseconds, ascending."""

    metric: Metric
    classes: Sequence[str]
    bounds_us: Sequence[int]

    def cells(self) -> list[str]:
        """Name its numbers: for each class one for each bound, one beyond, and the sum in microseconds."""
        return [
            self.metric.sample(name, suffix, upto)
            for name in self.classes
            for suffix, upto in [
                *(("_bucket", _seconds(bound)) for bound in self.bounds_us),
                ("_bucket", "+Inf"),
                ("_sum", ""),
            ]
        ]

    def cell_of(self, first: int, which: int, duration_us: int) -> tuple[int, int]:
        """Give where a duration of the class `which` is counted and where it is added, of cells from `first` on."""
        begin = first + which * (len(self.bounds_us) + 2)
        return begin + bisect_left(self.bounds_us, duration_us), begin + len(self.bounds_us) + 1

    def samples(self, counts: Mapping[str, int]) -> dict[str, str]:
        """Give its series: buckets add up those below them."""
        out: dict[str, str] = {}
        for name in self.classes:
            total = 0
            for upto in [*map(_seconds, self.bounds_us), "+Inf"]:
                sample = self.metric.sample(name, "_bucket", upto)
                total += counts.get(sample, 0)
                out[sample] = str(total)
            of_sum = self.metric.sample(name, "_sum")
            out[of_sum] = _seconds(counts.get(of_sum, 0))
            out[self.metric.sample(name, "_count")] = str(total)
        return out


class Tallies:
    """Whole numbers of this process, which other processes may read."""

    def __init__(self, path: Path, cells: Sequence[str]) -> None:
        """Go on with the numbers in the file. `cells` name them; other names are another file's."""
        descriptor = os.open(_file(path, cells), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, len(cells) * _CELL_BYTES)
            self._mapped = mmap.mmap(descriptor, len(cells) * _CELL_BYTES)
        finally:
            os.close(descriptor)
        self.cells = memoryview(self._mapped).cast("Q")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cells.release()
        self._mapped.close()


def read_tallies(folder: Path, cells: Sequence[str]) -> Counter[str]:
    """Add up the numbers of these names over all processes that count in this folder."""
    total: Counter[str] = Counter()
    for path in folder.glob(_file(Path("*"), cells).name):
        numbers = path.read_bytes()
        if len(numbers) == len(cells) * _CELL_BYTES:  # Not so while its process is just making it.
            total.update(dict(zip(cells, memoryview(numbers).cast("Q"), strict=True)))
    return total


def render(metrics: Iterable[Metric], samples: Mapping[str, str]) -> str:
    """Give the text: each metric with its help and its series, in the order of `samples`."""
    lines: list[str] = []
    for metric in metrics:
        text = f"{metric.meaning} {metric.remedy}".replace("\\", r"\\").replace("\n", r"\n")
        lines += [f"# HELP {metric.name} {text}", f"# TYPE {metric.name} {metric.kind}"]
        names = {metric.name}
        if metric.kind is MetricKind.HISTOGRAM:
            names = {metric.name + suffix for suffix in ("_bucket", "_sum", "_count")}
        lines += [f"{sample} {value}" for sample, value in samples.items() if sample.partition("{")[0] in names]
    return "\n".join(lines) + "\n"


def _seconds(microseconds: int) -> str:
    whole, part = divmod(microseconds, 1_000_000)
    return f"{whole}.{part:06d}".rstrip("0").rstrip(".")


def _file(path: Path, cells: Sequence[str]) -> Path:
    """Name the file after what is in it too, so that a release that counts other things begins another."""
    return path.with_name(f"{path.name}.{sha256(chr(10).join(cells).encode()).hexdigest()[:12]}.tallies")
