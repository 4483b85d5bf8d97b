"""TLS, passwords and rights against a real broker: what works, and what is said when it does not."""

from dataclasses import replace
from uuid import uuid4

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from ingest.errors import LogDeniedError, LogUnavailableError
from ingest.log.kafka.address import KafkaAddress
from ingest.log.kafka.reader import KafkaLogReader
from ingest.log.kafka.security import KafkaSecurity
from ingest.log.kafka.writer import KafkaLogWriter
from tests.ingest.log.kafka.test_outages import a_section, read_all
from tests.peers.kafka.cluster import PASSWORD, USER

pytestmark = pytest.mark.slow

PATIENCE_S = 300


@pytest.fixture
def address(kafka):
    security = KafkaSecurity(True, str(kafka.ca), mechanism="SCRAM-SHA-512", username=USER, password=PASSWORD)
    return KafkaAddress(kafka.secure_addresses, f"s-{uuid4().hex}", 1, security)


def other(address, **changes):
    return replace(address, security=replace(address.security, **changes))


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
async def test_events_go_through_a_listener_with_tls_and_a_password(address, mechanism):
    """Written and read back."""
    secure = other(address, mechanism=mechanism)
    writer = await KafkaLogWriter.open(secure, append_s_max=PATIENCE_S)
    reader = await KafkaLogReader.open(secure, wait_s_max=60)
    await writer.append(a_section(["1"]))
    assert await read_all(reader) == {0: ["1"]}
    await writer.close()
    await reader.close()


async def test_a_wrong_password_is_named_with_its_settings_and_never_shown(address):
    """At once, not after the time that brokers get to come up; an append says so too."""
    wrong = other(address, password="battery-staple")
    with pytest.raises(LogDeniedError, match="METERLINE_LOG_SASL_USERNAME, _PASSWORD") as told:
        await KafkaLogReader.open(wrong, wait_s_max=600)
    assert "battery" not in str(told.value) + repr(wrong)
    writer = await KafkaLogWriter.open(wrong, append_s_max=60)
    with pytest.raises(LogUnavailableError, match="METERLINE_LOG_SASL_USERNAME"):
        await writer.append(a_section(["1"]))
    await writer.close()


async def test_a_broker_whose_certificate_nobody_known_has_signed_is_named_with_the_setting(kafka, address):
    """Nothing is sent to it."""
    with pytest.raises(LogDeniedError, match="METERLINE_LOG_TLS_CA"):
        await KafkaLogReader.open(other(address, ca=str(kafka.folder / "stranger.pem")), wait_s_max=600)


async def test_a_right_that_is_taken_away_is_named(kafka, address):
    """Who may not write any more is told so, and nothing is acknowledged."""
    writer = await KafkaLogWriter.open(address, append_s_max=PATIENCE_S)
    await writer.append(a_section(["1"]))
    deny = AclBinding(
        ResourceType.TOPIC,
        address.topic,
        ResourcePatternType.LITERAL,
        f"User:{USER}",
        "*",
        AclOperation.WRITE,
        AclPermissionType.DENY,
    )
    client = AdminClient({"bootstrap.servers": kafka.addresses})
    (done,) = client.create_acls([deny]).values()
    done.result()
    with pytest.raises(LogUnavailableError, match=r"[Aa]uthoriz"):
        await keep_appending(writer)
    await writer.close()


async def keep_appending(writer):
    """A right takes a moment to be gone."""
    for number in range(1000):
        await writer.append(a_section([f"more-{number}"]))
