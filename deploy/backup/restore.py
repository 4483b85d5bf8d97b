"""`meterline restore SRC`: make an installation again from a backup, in an empty data folder.

Everything is checked and made beside the data folder, the store derived there from the log, and only then does the
folder get its name: a restore that was interrupted leaves nothing at it.
"""

import asyncio
import os
import shutil
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from deploy.backup.manifest import BackupError, Manifest, copy_checked, read_manifest
from deploy.data_dir import hold
from deploy.rebuild.children import run_step
from deploy.rebuild.command import part_config
from deploy.rebuild.source import prepare_log
from deploy.rebuild.steps import Step
from deploy.settings import Settings, read_settings
from ingest.log.archive.folder import prepare
from ingest.log.local.files import DISK
from ingest.log.local.folder import LOG_ID, create_segment, write_whole
from ingest.log.local.trimmed import Trimmed, write_trimmed
from ingest.log.waiting import End


def run_restore(settings: Settings, source: Path, console: Console) -> int:
    """Do it; gives the exit code.

    Raises:
        BackupError: the backup is not whole, or there is something already; nothing was changed.
        StepError: the store could not be derived; nothing is at the data folder.
    """
    source = source.expanduser().resolve()
    usual = read_settings({"METERLINE_DATA_DIR": str(settings.data_dir)})
    for name in ("log_url", "log_archive_dir", "store_url", "registry_url"):
        if getattr(settings, name) != getattr(usual, name):
            raise BackupError(f"unset METERLINE_{name.upper()}: a backup is restored into one folder")
    if settings.data_dir.exists() and (not settings.data_dir.is_dir() or any(settings.data_dir.iterdir())):
        raise BackupError(f"{settings.data_dir} is not empty: set METERLINE_DATA_DIR to a new folder")
    manifest = read_manifest(source)
    staged = settings.data_dir.with_name(settings.data_dir.name + ".restoring")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o700, parents=True)
    try:
        _make(settings, manifest, source, staged, console)
        DISK.sync_folder(staged)
        staged.rename(settings.data_dir)  # Last: an empty folder of that name gives way.
        DISK.sync_folder(settings.data_dir.parent)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    console.print(
        f"restored {manifest.events:,} events up to offset {manifest.next_offset:,} and the registry, as of "
        f"{manifest.created_at}, into {escape(str(settings.data_dir))}"
    )
    console.print(
        f"it was run with: {escape(', '.join(f'{name}={value}' for name, value in manifest.settings.items()))}"
    )
    return 0


def _make(settings: Settings, manifest: Manifest, source: Path, staged: Path, console: Console) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        copying = bar.add_task("copying and checking", total=len(manifest.files))
        copy_checked(source, manifest, staged, lambda done, _: bar.update(copying, completed=done))
        _lay_log(manifest, staged)
        there = replace(
            settings,
            data_dir=staged,
            log_archive_dir=staged / "log-archive",
            registry_url=f"sqlite:///{staged / 'registry.db'}",
        )
        lock = hold(staged)
        try:
            asyncio.run(prepare_log(there))
            deriving = bar.add_task("deriving the store", total=None)
            config = part_config(there, staged / "store")
            # Customers too: the registry is from a moment before the log's end.
            step = Step(
                config=config, fill=True, customers=True, passes_poison=True, takes_over=str(staged / "carried")
            )
            run_step(step, [lock], lambda done, of: bar.update(deriving, completed=done, total=of))
        finally:
            os.close(lock)
    shutil.rmtree(staged / "carried")


def _lay_log(manifest: Manifest, staged: Path) -> None:
    """Make a log that was trimmed to its end, and its archive."""
    archive, log = staged / "log-archive", staged / "log"
    (staged / "segments").rename(archive) if manifest.next_offset else archive.mkdir(mode=0o700)
    prepare(archive, manifest.log_id)
    log.mkdir(mode=0o700)
    os.close(create_segment(log, manifest.next_offset))
    write_trimmed(log, Trimmed(End(manifest.next_offset, manifest.events), manifest.appended_at_us))
    write_whole(log / LOG_ID, f"{manifest.log_id}\n".encode())
