"""Which log an installation has: the local one in its data folder, or a topic of Kafka.

The client library of Kafka is loaded only where it is used.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.parts import PartConfig
from deploy.settings import read_log_security
from ingest.log.archive.keeper import LogKeeper
from ingest.log.archive.reader import ArchivedLogReader
from ingest.log.client import RemoteLogWriter
from ingest.log.kafka.address import KafkaAddress
from ingest.log.local.closed import ClosedLog
from ingest.log.local.reader import LocalLogReader
from ingest.log.local.writer import LocalLogWriter
from ingest.log.protocol import LogReader, LogWriter
from ingest.log.spool.state import SpoolState
from ingest.log.spool.writer import SpoolingLogWriter
from metering.errors import SettingsError

if TYPE_CHECKING:
    from ingest.log.kafka.group import KafkaGroup

LOG_WAIT_S_MAX = 60.0
SPOOL_AFTER_S = 5.0
"""With a spool an append waits no longer for the log; without one it may, since all it could do is to refuse."""


async def open_before(config: PartConfig) -> ClosedLog | None:
    """Open the local log that the one in Kafka follows, None where there was none.

    Raises:
        LogUnavailableError, LogCorruptError: as the log process would.
    """
    return await ClosedLog.open(config.log_dir, config.archive_dir) if config.follows_local else None


async def open_reader(config: PartConfig, before: ClosedLog | None = None) -> LogReader:
    """Open the log for the consumer, with its archive, and behind the one `before` it, which is closed with this.

    Raises:
        LogUnavailableError: it was not there within `LOG_WAIT_S_MAX`.
        LogMismatchError: the topic is not as it must be.
    """
    if not config.log_url:
        log = await LocalLogReader.open(config.log_dir, wait_s_max=LOG_WAIT_S_MAX)
        return ArchivedLogReader(log, config.archive_dir)
    from ingest.log.kafka.reader import KafkaLogReader

    address = kafka_address(config.log_url)
    return await KafkaLogReader.open_chain(address, wait_s_max=LOG_WAIT_S_MAX, before=before)


def kafka_address(log_url: str) -> KafkaAddress:
    """Give the log's address with what secures it: each process reads that for itself, for the sake of the secrets.

    Raises:
        SettingError: a setting is not usable.
    """
    return replace(KafkaAddress.parse(log_url), security=read_log_security())


async def open_writer(config: PartConfig) -> LogWriter:
    """Open the log for appending, with its spool if there is one; it may come later than whoever appends."""
    log = await open_log(config)
    if not config.spool_dir:
        return log
    return SpoolingLogWriter(log, await RemoteLogWriter.open(config.spool_socket), SpoolState(Path(config.spool_dir)))


async def open_log(config: PartConfig) -> LogWriter:
    """Open the log itself for appending."""
    if not config.log_url:
        if config.spool_dir:
            return await RemoteLogWriter.open(config.log_socket, answer_wait_s_max=SPOOL_AFTER_S)
        return await RemoteLogWriter.open(config.log_socket)
    from ingest.log.kafka.writer import APPEND_S_MAX, KafkaLogWriter

    append_s_max = SPOOL_AFTER_S if config.spool_dir else APPEND_S_MAX
    before = ClosedLog.partitions if config.follows_local else 0
    address = kafka_address(config.log_url)
    return await KafkaLogWriter.open(address, append_s_max=append_s_max, partitions_before=before)


def keeper_of(config: PartConfig, writer: LogWriter, log_id: str, before: ClosedLog | None = None) -> LogKeeper | None:
    """Give who moves the local log's segments into its archive; None for Kafka, which has a retention of its own.

    `log_id` is the id of the log that is read, or of the first of its chain: of `before` where there is one.

    Raises:
        SettingsError: the archive cannot be written.
        LogMismatchError: the archive is another log's.
    """
    log = writer.log if isinstance(writer, SpoolingLogWriter) else writer
    trimmer = before.trimmer if before is not None else log
    if not isinstance(trimmer, RemoteLogWriter | LocalLogWriter):
        return None
    keeper = LogKeeper(config.log_dir, config.archive_dir, config.log_keep, trimmer)
    try:
        keeper.prepare(log_id)
    except OSError as error:
        raise SettingsError(f"METERLINE_LOG_ARCHIVE_DIR={config.log_archive_dir!r} cannot be used: {error}") from None
    return keeper


async def consumer_group(config: PartConfig) -> "KafkaGroup":
    """Join the group of those who consume this log; there is one for each topic."""
    from ingest.log.kafka.group import KafkaGroup
    from ingest.log.kafka.topic import group_name

    address = kafka_address(config.log_url)
    return await KafkaGroup.join(address, group_name(address.topic))


def kafka_answers(config: PartConfig) -> Callable[[], Awaitable[object]]:
    """Give the check of the log for who does not read it: the topic is there, as it must be."""
    from ingest.log.kafka.topic import TopicAdmin

    return TopicAdmin(kafka_address(config.log_url)).open
