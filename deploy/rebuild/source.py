"""What a store can be derived from: the log with its archive, or a topic, from its beginning."""

from collections.abc import Mapping

from deploy.log_choice import kafka_address
from deploy.log_switch import follows_local_log
from deploy.settings import Settings
from ingest.erasure.jobs import count_erasures, unfinished_erasures
from ingest.log.archive.folder import archived, runs
from ingest.log.local.closed import ClosedLog
from ingest.log.local.folder import LOG_ID, first_offsets
from ingest.log.local.writer import LocalLogWriter
from ingest.log.waiting import PARTITION
from metering.registry.engine import Registry
from metering.registry.migrate import migrate


class NoLogError(Exception):
    """There is no log here."""


class UnfinishedError(Exception):
    """Something is under way that only a running Meterline can finish."""


async def prepare_log(settings: Settings) -> None:
    """Recover a local log, so that its end is known: what the log process does at each start.

    Raises:
        NoLogError: there is none.
        LogUnavailableError, LogCorruptError: as the log process would.
    """
    if settings.log_url:
        return
    if not (settings.log_dir / LOG_ID).exists():
        raise NoLogError(f"there is no log in {settings.log_dir}: set METERLINE_DATA_DIR")
    writer = await LocalLogWriter.open(settings.log_dir)
    await writer.close()


async def first_missing(settings: Settings, *, follows_local: bool) -> Mapping[int, int]:
    """Give, for each partition that lacks its beginning, the first offset from which on everything is there."""
    if settings.log_url:
        from ingest.log.kafka.reader import first_offsets_of

        found = await first_offsets_of(kafka_address(settings.log_url))
        before = ClosedLog.partitions if follows_local else 0
        missing = {before + partition: first for partition, first in found.items() if first}
        return {**_missing_here(settings), **missing} if follows_local else missing
    return _missing_here(settings)


def _missing_here(settings: Settings) -> Mapping[int, int]:
    begin: int = first_offsets(settings.log_dir)[0]
    for first, following in reversed(list(runs(archived(settings.log_archive_dir)))):
        if first <= begin <= following:
            begin = first
    return {PARTITION: begin} if begin else {}


def log_before(settings: Settings) -> bool:
    """Tell whether the log follows a local one.

    Raises:
        LogSwitchError: it does not follow what was applied.
    """
    registry = Registry(settings.registry_url)
    try:
        migrate(registry)
        with registry.reading() as connection:
            return follows_local_log(connection, settings)
    finally:
        registry.close()


def erasures_of(settings: Settings) -> int:
    """Count the erasures there were: what was derived before one is derived anew after it.

    Raises:
        UnfinishedError: one is under way, so store and log do not say the same now.
    """
    registry = Registry(settings.registry_url)
    try:
        migrate(registry)
        with registry.reading() as connection:
            unfinished = unfinished_erasures(connection)
            if unfinished:
                raise UnfinishedError(
                    f"the erasure {unfinished[0].id} is under way, so the store and the log do not say the same: "
                    "start Meterline until it is done"
                )
            return count_erasures(connection)
    finally:
        registry.close()
