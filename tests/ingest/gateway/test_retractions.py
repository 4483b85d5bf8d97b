import pytest

from ingest import deletion
from ingest.gateway.core_client import CoreUnavailableError
from ingest.wire import Kind
from metering.retraction import Retraction
from tests.ingest.gateway.running import WORLD


async def retract(gateway, body):
    return await gateway.send("/v1/events", body, method="DELETE")


@pytest.mark.parametrize(
    ("sent", "logged"),
    [
        ({"matching": "record_ids", "record_ids": ["a", 485]}, Retraction(WORLD, record_ids=["a", "485"])),
        ({"record_ids": ["a", "a"], "event_type": "t"}, Retraction(WORLD, "t", record_ids=["a"])),
        ({"matching": "customer_id", "customer_id": "acme"}, Retraction(WORLD, customer_ids=["acme", "cus_1"])),
        ({"customer_id": "x", "event_type": "t"}, Retraction(WORLD, "t", customer_ids=["x"])),
        ({"matching": "event_type", "event_type": "t"}, Retraction(WORLD, "t")),
        ({"event_type": "t", "record_ids": None}, Retraction(WORLD, "t")),
        ({"matching": "all", "whatever": 1}, Retraction(WORLD)),
    ],
)
async def test_a_deletion_goes_into_the_log_with_its_customer_resolved(gateway, sent, logged):
    """First all that came before is applied, then it is logged, then the count is told."""
    status, told, _ = await retract(gateway, sent)
    assert (status, told) == (200, 3)
    (section,) = gateway.sections()
    assert (section.kind, section.events) == (Kind.DELETION, 1)
    assert deletion.decode(WORLD, section.body) == logged
    assert gateway.core.asked == ["wait", {0: (0, 0)}]


async def test_record_ids_are_compared_in_their_canonical_form(gateway):
    """4850e-1 is 485, and digits are kept."""
    await retract(gateway, b'{"record_ids": [4850e-1, 0.10, 12345678901234567890]}')
    logged = deletion.decode(WORLD, gateway.sections()[0].body)
    assert logged.record_ids == ["485", "0.1", "12345678901234567890"]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"[]",
        b"{",
        b'{"matching":"all","matching":"all"}',
        {},
        {"matching": "everything"},
        {"matching": ["all"]},
        {"matching": "record_ids"},
        {"matching": "record_ids", "record_ids": []},
        {"matching": "record_ids", "record_ids": "a"},
        {"matching": "record_ids", "record_ids": [True]},
        {"matching": "record_ids", "record_ids": [["a"]]},
        {"matching": "record_ids", "record_ids": ["a"] * 5001},
        {"matching": "record_ids", "record_ids": ["a", ""]},
        {"matching": "record_ids", "record_ids": ["a", "x" * 256]},
        {"matching": "record_ids", "record_ids": ["a"], "customer_id": "c"},
        {"matching": "customer_id"},
        {"matching": "customer_id", "customer_id": ""},
        {"matching": "customer_id", "customer_id": 7},
        {"matching": "event_type"},
        {"matching": "event_type", "event_type": "t", "customer_id": "c"},
        {"matching": "all", "event_type": "t"},
        {"record_ids": ["a"], "customer_id": "c"},
    ],
)
async def test_an_unclear_deletion_deletes_nothing(gateway, sent):
    """400; a field that would narrow it and does not fit is never passed over."""
    status, told, _ = await retract(gateway, sent)
    assert status == 400, told
    assert gateway.sections() == []
    assert gateway.core.asked == []


async def test_a_core_that_is_behind_is_503_and_nothing_is_done(gateway):
    """The wait comes before the log."""
    gateway.core.error = CoreUnavailableError("behind")
    status, _, headers = await retract(gateway, {"matching": "all"})
    assert (status, "Retry-After" in headers) == (503, True)
    assert gateway.sections() == []


async def test_a_deletion_needs_the_scope_ingest(gateway):
    """A key that only reads deletes nothing."""
    status, _, _ = await gateway.send("/v1/events", {"matching": "all"}, "DELETE", Authorization="Bearer test_read")
    assert status == 403
