"""What is typed into the form of a connection becomes what the API takes; secrets are never written back."""

import json
from datetime import UTC, datetime

import pytest

from deploy.pages.connection_form import FORMS, as_kept, typed
from loaders.connections.fields import read_connection
from loaders.connections.registry import StoredConnection
from loaders.connections.secret_parts import MASK, masked
from loaders.provider import Address, Provider
from metering.http.problem import ApiError, Fault
from metering.world import Mode, World

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KEY = {
    "type": "service_account",
    "project_id": "p",
    "client_email": "a@p.example",
    "private_key": "-----BEGIN PRIVATE KEY-----\nhunter2",
}


LOGIN = {"account": "a", "user": "u", "password": "hunter2", "warehouse": "w", "database": "d", "port": 8}


def kept(address):
    world = World("acc_1", Mode.TEST)
    return StoredConnection("con_1", world, address.provider, "w", masked(address), "", [], NOW, NOW, NOW)


BIGQUERY = Address(Provider.BIGQUERY, credentials={**KEY, "location": "EU", "maximum_bytes_billed": 10})


def test_a_key_file_is_taken_apart_with_what_stands_beside_it():
    sent = {"name": "w", "key_file": json.dumps(KEY), "location": "EU", "maximum_bytes_billed": "10"}
    asked = read_connection(typed(Provider.BIGQUERY, sent).document(None))
    assert asked.address == BIGQUERY


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_what_is_no_key_file_is_told_beside_it(text):
    form = typed(Provider.BIGQUERY, {"name": "w", "key_file": text})
    with pytest.raises(ApiError) as refusal:
        form.document(None)
    assert "paste the whole file" in form.beside(refusal.value).of("key_file")[0]


def test_a_fault_within_the_key_file_stands_beside_it():
    form = typed(Provider.BIGQUERY, {"name": "w", "key_file": json.dumps({**KEY, "private_key": "x"})})
    with pytest.raises(ApiError) as refusal:
        read_connection(form.document(None))
    assert form.beside(refusal.value).of("key_file")[0].startswith("Private_key: must be a private key")


def test_a_form_that_is_sent_back_as_it_came_changes_nothing():
    for address in (
        BIGQUERY,
        Address(Provider.SNOWFLAKE, credentials={**LOGIN, "host": "h.example"}),
        Address(Provider.POSTGRES, url="postgres://u:hunter2@h/d"),
    ):
        stored = kept(address)
        shown = as_kept(stored).shown()
        assert "hunter2" not in str(shown)
        document = typed(address.provider, {**shown, "name": "w"}).document(stored)
        assert read_connection(document, stored, lambda address=address: address).address == address


def test_passwords_are_never_written_into_a_page():
    sent = {one.name: "hunter2" for one in FORMS[Provider.SNOWFLAKE].fields}
    shown = typed(Provider.SNOWFLAKE, sent).shown()
    assert {name for name, text in shown.items() if not text} == {"password", "private_key", "private_key_passphrase"}
    assert "hunter2" not in repr(typed(Provider.SNOWFLAKE, sent))


def test_what_is_wrong_with_a_credential_stands_beside_its_field():
    fault = Fault("required", ("credentials", "account"), "account: is needed: send a string")
    told = typed(Provider.SNOWFLAKE, {}).beside(ApiError(400, "x", [fault]))
    assert told.of("account") == ["Is needed"]


def test_a_mask_in_an_emptied_form_is_not_taken_for_a_password():
    assert typed(Provider.SNOWFLAKE, {"password": MASK, "name": "w"}).document(None)["credentials"] == {
        "password": MASK
    }
