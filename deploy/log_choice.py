"""Which log an installation has: the local one in its data folder, or a topic of Kafka.

The client library of Kafka is loaded only where it is used.
"""

from dataclasses import replace
from pathlib import Path

from deploy.parts import PartConfig
from deploy.settings import read_log_security
from ingest.log.client import RemoteLogWriter
from ingest.log.kafka.address import KafkaAddress
from ingest.log.local.reader import LocalLogReader
from ingest.log.protocol import LogReader, LogWriter
from ingest.log.spool.state import SpoolState
from ingest.log.spool.writer import SpoolingLogWriter

LOG_WAIT_S_MAX = 60.0
SPOOL_AFTER_S = 5.0
"""With a spool an append waits no longer for the log; without one it may, since all it could do is to refuse."""


async def open_reader(config: PartConfig) -> LogReader:
    """Open the log for the consumer.

    Raises:
        LogUnavailableError: it was not there within `LOG_WAIT_S_MAX`.
        LogMismatchError: the topic is not as it must be.
    """
    if not config.log_url:
        return await LocalLogReader.open(config.log_dir, wait_s_max=LOG_WAIT_S_MAX)
    from ingest.log.kafka.reader import KafkaLogReader

    return await KafkaLogReader.open_chain(kafka_address(config.log_url), wait_s_max=LOG_WAIT_S_MAX)


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
    return await KafkaLogWriter.open(kafka_address(config.log_url), append_s_max=append_s_max)
