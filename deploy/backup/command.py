"""`meterline backup DEST`: a copy of an embedded installation from which all of it can be made again.

Taken in an order that loses nothing while it runs: the registry, unfinished imports, the store's marks, and the log's
end last. What the registry says was brought into the log is then in the copy of the log, and everything that was
acknowledged before the backup began is in it.
"""

import asyncio
import os
import shutil
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from aiohttp import web
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from deploy.backup.log_copy import copy_log
from deploy.backup.manifest import FORMAT, BackupError, Manifest, copy_file, files_of, write_manifest
from deploy.core_socket import ask_core
from deploy.data_dir import DataDirError, hold
from deploy.disk_use import registry_path, store_path
from deploy.rebuild.children import run_step
from deploy.rebuild.command import part_config
from deploy.rebuild.source import prepare_log
from deploy.rebuild.steps import Step
from deploy.settings import Settings
from deploy.version import VERSION
from ingest.consumer.progress import LogProgress
from ingest.core_api import internal_only
from ingest.log.local.reader import LocalLogReader
from loaders.secrets.key_file import NAME as KEY_FILE
from metering.http.app import json_response
from metering.http.problem import unavailable
from metering.http.route import Call, Route
from metering.store.carried import export
from metering.store.client import Store
from metering.timestamps import format_instant

EXPORT_PATH = "/internal/export"
CATCH_UP_S_MAX = 60.0


def run_backup(settings: Settings, destination: Path, console: Console) -> int:
    """Take one; gives the exit code.

    Raises:
        BackupError: it cannot be taken; nothing is at the destination.
        IngestError: the log cannot be read.
    """
    destination = destination.expanduser().resolve()
    if settings.log_url:
        raise BackupError("METERLINE_LOG_URL names a log in Kafka: back up its cluster; this copies a local log")
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise BackupError(f"{destination} is not empty: name a new folder")
    registry = registry_path(settings.registry_url)
    if registry is None:
        raise BackupError("METERLINE_REGISTRY_URL names a server: back it up with its own tools; this copies SQLite")
    if not registry.exists():
        raise BackupError(f"there is no installation in {settings.data_dir}: set METERLINE_DATA_DIR")
    partial = destination.with_name(destination.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)
    try:
        manifest = _take(settings, registry, partial, console)
        partial.rename(destination)  # Last: a folder of this name is a whole backup.
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    size = sum(file.size for file in manifest.files)
    console.print(
        f"backed up {manifest.events:,} events up to offset {manifest.next_offset:,} and the registry: "
        f"{len(manifest.files)} files, {size:,} bytes in {escape(str(destination))}"
    )
    if (settings.data_dir / KEY_FILE).exists():
        console.print(
            f"[yellow]not in it:[/] {escape(str(settings.data_dir / KEY_FILE))}, which opens the passwords of "
            "connections: keep a copy of it elsewhere, and lay it into the data folder after a restore"
        )
    return 0


def export_route(store: Store, progress: LogProgress) -> Route:
    """Give the route by which a running core writes down its marks; to be served on its own socket."""

    async def write(call: Call) -> web.StreamResponse:
        if not await progress.wait_until_applied(CATCH_UP_S_MAX):  # What waits in a spool is not in the log yet.
            raise unavailable("what was accepted before is not in the figures yet: try again", retry_after_s=30)
        await store.run_writing(export, store, Path(call.query("folder") or ""))
        return json_response({})

    return Route("POST", EXPORT_PATH, None, internal_only(write), "Write down what the log does not know", "internal")


def _take(settings: Settings, registry: Path, folder: Path, console: Console) -> Manifest:
    lock = _hold_unless_running(settings)
    try:
        created_at = format_instant(datetime.now(UTC))
        _copy_registry(registry, folder / "registry.db")
        _copy_imports(settings.data_dir / "imports", folder / "imports")
        (folder / "carried").mkdir(mode=0o700)
        if lock is None:
            ask_core(settings, "POST", f"{EXPORT_PATH}?folder={quote(str(folder / 'carried'))}")
        else:
            asyncio.run(prepare_log(settings))
            if store_path(settings.store_url).exists():
                config = part_config(settings, store_path(settings.store_url))
                run_step(Step(config=config, exports=str(folder / "carried")), [lock])
        log_id, end = asyncio.run(_end_of(settings.log_dir))  # Last of all that is looked at.
        (folder / "segments").mkdir(mode=0o700)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task("log", total=end)
            reached = copy_log(
                settings.log_dir,
                settings.log_archive_dir,
                end,
                folder / "segments",
                lambda done, _: bar.update(task, completed=done),
            )
    finally:
        if lock is not None:
            os.close(lock)
    manifest = Manifest(
        format=FORMAT,
        release=VERSION,
        created_at=created_at,
        log_id=log_id,
        next_offset=reached.end.next_offset,
        events=reached.end.events,
        appended_at_us=reached.appended_at_us,
        settings={
            "log_keep": settings.log_keep,
            "log_segment_bytes": settings.log_segment_bytes,
            "gateway_workers": settings.gateway_workers,
            "rate_limits": settings.rate_limits,
        },
        files=list(files_of(folder)),
    )
    write_manifest(folder, manifest)
    return manifest


def _hold_unless_running(settings: Settings) -> int | None:
    try:
        return hold(settings.data_dir)
    except DataDirError:
        return None


def _copy_registry(path: Path, target: Path) -> None:
    """Copy one consistent state, while others write."""
    source = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
    copied = sqlite3.connect(target)
    try:
        source.backup(copied)
    finally:
        source.close()
        copied.close()
    target.chmod(0o600)


def _copy_imports(folder: Path, target: Path) -> None:
    target.mkdir(mode=0o700)
    for path in folder.glob("*.csv"):
        with suppress(FileNotFoundError):  # Its import ended: its rows are in the log.
            copy_file(path, target / path.name)


async def _end_of(folder: Path) -> tuple[str, int]:
    log = await LocalLogReader.open(folder)
    try:
        return log.log_id, log.end.next_offset
    finally:
        await log.close()
