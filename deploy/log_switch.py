"""From the local log to Kafka: what an installation took before the switch is applied first; there is no way back.

What is applied is recorded by lanes, each of one log's partition, in the order in which the logs followed each other.
"""

import sqlalchemy as sa

from deploy.settings import Settings
from ingest.log.kafka.address import LOG_ID_PREFIX
from ingest.log.local.folder import LOG_ID, read_whole
from metering.registry.tables import lanes


class LogSwitchError(Exception):
    """This log does not follow the one before; the message is one clear line."""


def follows_local_log(connection: sa.Connection, settings: Settings) -> bool:
    """Tell whether the log, which is in Kafka, follows the local one in the data folder.

    Raises:
        LogSwitchError: it goes the other way, or the local log is gone.
    """
    known = set(connection.execute(sa.select(lanes.c.log_id)).scalars())
    local = {log_id for log_id in known if not log_id.startswith(LOG_ID_PREFIX)}
    if not settings.log_url:
        if known - local:
            raise LogSwitchError(
                "METERLINE_LOG_URL is not set, and this installation's log is in Kafka by now: set it again, for what "
                "is there would never be counted; a local log cannot follow one in Kafka"
            )
        return False
    path = settings.log_dir / LOG_ID
    here = read_whole(path).decode().strip() if path.exists() else None
    if local and here not in local:
        raise LogSwitchError(f"the log that came before the one in Kafka is gone: put {settings.log_dir} back")
    # With lanes of Kafka alone the folder is left over from something else: nothing of it was ever promised here.
    return here is not None and (bool(local) or not known)
