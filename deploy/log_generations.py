"""`meterline log generations`: how many partitions the log in Kafka has, and more of them."""

import asyncio

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.log_choice import kafka_address
from deploy.settings import Settings
from ingest.errors import IngestError
from ingest.log.kafka.address import KafkaAddress


class GenerationsError(Exception):
    """It cannot be told or done now; the message is one clear line."""


def list_generations(settings: Settings, console: Console) -> None:
    """Print the log's topics, oldest first.

    Raises:
        GenerationsError: no broker answers, or the log is not in Kafka.
    """
    from ingest.log.kafka.topic import TopicAdmin

    address = _address(settings)
    table = Table("generation", "topic", "partitions", "state", box=None, pad_edge=False)
    try:
        found = asyncio.run(TopicAdmin(address).existing())
    except IngestError as error:
        raise GenerationsError(str(error)) from None
    for number, topic in enumerate(found, 1):
        state = "appended to" if number == len(found) else "sealed"
        table.add_row(str(number), escape(topic.name), str(topic.partitions), state)
    console.print(table)


def add_generation(settings: Settings, partitions: int, console: Console) -> None:
    """See to it that the log has so many partitions from now on; gateways and consumers follow by themselves.

    Raises:
        GenerationsError: not done; it can be run again.
    """
    from ingest.log.kafka import generations

    address = _address(settings)
    try:
        asyncio.run(generations.add_generation(address, partitions, lambda line: console.print(escape(line))))
    except (IngestError, ValueError) as error:
        raise GenerationsError(str(error)) from None


def _address(settings: Settings) -> KafkaAddress:
    if not settings.log_url:
        raise GenerationsError("the log in the data folder has one partition: METERLINE_LOG_URL keeps it in Kafka")
    return kafka_address(settings.log_url)
