"""`meterline rebuild`: derive the store again beside the old one, compare the two, and swap them when asked to.

    recover the log -> old store: apply what is left, survey, export -> new store: fill, take over, survey -> compare

An interrupted rebuild goes on where the new store is applied to; `restart` begins anew, and so does a rebuild after
an erasure, since what is derived by then holds text that is gone. The swap is one exchange of names.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from deploy.data_dir import DataDirError, hold
from deploy.disk_use import store_path
from deploy.log_switch import LogSwitchError
from deploy.parts import PartConfig
from deploy.rebuild.children import StepError, run_step
from deploy.rebuild.compare import Difference, differing, other_differences, row_differences, same_figures
from deploy.rebuild.exchange import ExchangeError, exchange
from deploy.rebuild.source import erasures_of, first_missing, log_before, prepare_log
from deploy.rebuild.steps import Step
from deploy.rebuild.survey import Survey
from deploy.settings import Settings, require_embedded
from deploy.version import VERSION
from ingest.log.waiting import PARTITION
from metering.store.digests import ROW_SETS

FOLDER = "store-rebuild"
GROUPS_TOLD_MAX = 20
EXIT_DIFFERENT = 2


class RebuildError(Exception):
    """It cannot be done; the message is one clear line."""


@dataclass(frozen=True, slots=True)
class Rebuild:
    """One rebuild: what is derived lies in `folder`, beside the store that it may replace."""

    settings: Settings
    console: Console
    lock: int
    follows_local: bool
    """The log is in Kafka, and follows the local one in the data folder."""

    @property
    def folder(self) -> Path:
        """Where everything of it lies."""
        return store_path(self.settings.store_url).with_name(FOLDER)

    @property
    def derived(self) -> Path:
        """The new store."""
        return self.folder / "store"

    def config(self, store: Path) -> PartConfig:
        """Give what a child is told."""
        return msgspec.structs.replace(part_config(self.settings, store), follows_local=self.follows_local)

    def step(self, text: str, step: Step) -> None:
        """Run a step under a progress bar."""
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal) as bar:
            task = bar.add_task(text, total=None)
            run_step(step, [self.lock], lambda done, of: bar.update(task, completed=done, total=of))


def part_config(settings: Settings, store: Path) -> PartConfig:
    """Give what a process is told that works on a store of this installation."""
    return PartConfig(
        kind="rebuild",
        data_dir=str(settings.data_dir),
        run_dir=str(settings.data_dir / "run"),
        store_url=f"chdb://{store}",
        registry_url=settings.registry_url,
        log_url=settings.log_url,
        log_archive_dir=str(settings.log_archive_dir),
    )


def run_rebuild(settings: Settings, console: Console, *, replace: bool, restart: bool) -> int:
    """Do it; gives the exit code: 2 when the two stores differ.

    Raises:
        RebuildError: it cannot be done.
    """
    if not settings.data_dir.exists():
        raise RebuildError(f"there is no installation in {settings.data_dir}: set METERLINE_DATA_DIR")
    require_embedded(settings, "rebuild")
    try:
        lock = hold(settings.data_dir)
    except DataDirError as error:
        raise RebuildError(str(error)) from None
    try:
        rebuild = Rebuild(settings, console, lock, follows_local=log_before(settings))
        return _run(rebuild, replace=replace, restart=restart)
    except (StepError, ExchangeError, LogSwitchError) as error:
        raise RebuildError(str(error)) from None
    finally:
        os.close(lock)


def _run(rebuild: Rebuild, *, replace: bool, restart: bool) -> int:
    settings, console = rebuild.settings, rebuild.console
    _check_source(rebuild)
    store = store_path(settings.store_url)
    if restart or _begun(rebuild.folder) != _identity(settings):
        shutil.rmtree(rebuild.folder, ignore_errors=True)
    rebuild.folder.mkdir(mode=0o700, exist_ok=True)
    (rebuild.folder / "identity").write_text(_identity(settings))
    old = None
    if store.exists():
        out = rebuild.folder / "old.json"
        step = Step(
            config=rebuild.config(store),
            fill=True,
            customers=True,
            exports=str(rebuild.folder),
            survey=True,
            out=str(out),
        )
        rebuild.step("the store as it is", step)
        old = msgspec.json.decode(out.read_bytes(), type=Survey)
    out = rebuild.folder / "new.json"
    step = Step(
        config=rebuild.config(rebuild.derived),
        fill=True,
        passes_poison=True,
        takes_over=str(rebuild.folder),
        survey=True,
        out=str(out),
    )
    rebuild.step("deriving", step)
    new = msgspec.json.decode(out.read_bytes(), type=Survey)
    differences = list(_tell(rebuild, old, new))
    equal = old is not None and not differences
    if old is None:
        console.print("there is no store to compare with: this is what log and archive hold")
    elif equal:
        console.print("[green]equal[/]: every row and every figure")
    _tell_sizes(console, new)
    if replace:
        _replace(rebuild, store, keep_old=not equal)
        return 0
    console.print(f"the derived store lies in {escape(str(rebuild.derived))}")
    console.print("put it in place with: meterline rebuild --replace")
    return 0 if equal or old is None else EXIT_DIFFERENT


def _tell(rebuild: Rebuild, old: Survey | None, new: Survey) -> Iterator[str]:
    """Print each difference, and yield it."""
    if old is None:
        return
    differences = list(differing(old, new))
    lines = [str(difference) for difference in differences]
    for line in [*lines[:GROUPS_TOLD_MAX], *other_differences(old, new)]:
        rebuild.console.print(f"[red]different[/] {escape(line)}")
        yield line
    if len(lines) > GROUPS_TOLD_MAX:
        rebuild.console.print(f"… and {len(lines) - GROUPS_TOLD_MAX:,} more groups")
    told = [difference for difference in differences if difference.rows in ROW_SETS][:GROUPS_TOLD_MAX]
    if told:
        for line in _rows(rebuild, told):
            rebuild.console.print(f"  {escape(line)}")
    if differences and same_figures(differences):
        rebuild.console.print("no figure differs")


def _rows(rebuild: Rebuild, told: Sequence[Difference]) -> Iterator[str]:
    wanted = [(difference.rows, difference.group) for difference in told]
    found = []
    for store in (store_path(rebuild.settings.store_url), rebuild.derived):
        out = rebuild.folder / "rows.json"
        rebuild.step("looking closer", Step(config=rebuild.config(store), rows=wanted, out=str(out)))
        found.append(msgspec.json.decode(out.read_bytes(), type=list[list[tuple[str, int, int]]]))
    for difference, old, new in zip(told, *found, strict=True):
        yield from row_differences(difference, old, new)


def _tell_sizes(console: Console, new: Survey) -> None:
    for rows, groups in new.digests.items():
        console.print(f"{rows}: {sum(digest[0] for _, digest in groups):,} rows in {len(groups):,} groups")
    console.print(f"totals: {len(new.totals):,} of aggregators by month")


def _replace(rebuild: Rebuild, store: Path, *, keep_old: bool) -> None:
    if store.exists():
        exchange(rebuild.derived, store)
    else:
        rebuild.derived.rename(store)
    if keep_old and rebuild.derived.exists():
        kept = store.with_name("store-replaced")
        shutil.rmtree(kept, ignore_errors=True)
        rebuild.derived.rename(kept)
        rebuild.console.print(
            f"replaced; the store as it was lies in {escape(str(kept))}: delete it when it is not needed"
        )
    else:
        rebuild.console.print("replaced")
    shutil.rmtree(rebuild.folder)


def _check_source(rebuild: Rebuild) -> None:
    settings = rebuild.settings
    asyncio.run(prepare_log(settings))
    for partition, first in asyncio.run(first_missing(settings, follows_local=rebuild.follows_local)).items():
        here = not settings.log_url or (rebuild.follows_local and partition == PARTITION)
        of = "the log with its archive" if here else f"partition {partition} of the log in Kafka"
        raise RebuildError(
            f"{of} has everything from offset {first} on, and nothing before: the store cannot be derived from it. "
            "Put the archive back (METERLINE_LOG_ARCHIVE_DIR), or keep this store and back it up"
        )


def _identity(settings: Settings) -> str:
    return f"{VERSION} {settings.log_url or settings.log_dir} {erasures_of(settings)}"


def _begun(folder: Path) -> str:
    identity = folder / "identity"
    return identity.read_text() if identity.exists() else ""
