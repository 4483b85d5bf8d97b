"""`meterline secrets`: keys come and go, and every password stays readable all the while."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from deploy.secret_keys import run_rotate
from deploy.settings import SettingError, read_keyring, read_settings, read_source_policy
from loaders.connections.registry import Connections, Pinged, Reached, create_connection
from loaders.errors import SourceDeniedError
from loaders.provider import Address, Provider
from loaders.secrets.errors import KeysError
from loaders.secrets.key_file import NAME, make_key_file
from loaders.secrets.keys import KeyFile, new_key
from metering.registry.accounts import create_account
from metering.registry.engine import Registry
from metering.registry.migrate import migrate
from metering.world import Mode, World

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ADDRESS = Address(Provider.POSTGRES, url="postgres://u:hunter2@db/usage")


@pytest.fixture
def settings(tmp_path, monkeypatch):
    for name in ("METERLINE_SECRETS_KEY", "METERLINE_SECRETS_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    return read_settings({"METERLINE_DATA_DIR": str(tmp_path)})


@pytest.fixture
def registry(settings):
    opened = Registry(settings.registry_url)
    migrate(opened)
    yield opened
    opened.close()


def save(registry, keys):
    with registry.writing() as connection:
        world = World(create_account(connection, "acme", NOW).id, Mode.TEST)
        return create_connection(connection, world, "w", Reached(ADDRESS, {}, Pinged([], NOW)), keys)


def rotated(settings, registry, **asked):
    out = io.StringIO()
    code = run_rotate(
        settings, registry, Console(file=out, width=200), **{"new_key": False, "drop_old": False, **asked}
    )
    return code, out.getvalue()


def test_a_new_key_takes_over_and_the_old_one_goes(settings, registry):
    make_key_file(settings.data_dir / NAME)
    running = read_keyring(settings.data_dir)  # As a process has it that was started before.
    saved, old = save(registry, running), running.newest()
    code, said = rotated(settings, registry, new_key=True, drop_old=True)
    assert code == 0
    assert f"wrapped 1 with the key {running.newest().id}" in said
    assert [key.id for key in KeyFile(settings.data_dir / NAME).listed()] == [running.newest().id] != [old.id]
    assert Connections(registry, running).address_of(saved.world, saved.id) == ADDRESS
    assert rotated(settings, registry)[1].startswith("wrapped 0")


def test_a_key_that_is_needed_is_not_dropped_and_what_cannot_be_opened_is_named(settings, registry):
    make_key_file(settings.data_dir / NAME)
    saved = save(registry, read_keyring(settings.data_dir))
    (settings.data_dir / NAME).unlink()
    make_key_file(settings.data_dir / NAME)
    code, said = rotated(settings, registry, drop_old=True)
    assert code == 2
    assert saved.id in said
    with pytest.raises(SourceDeniedError, match="save the connection again"):
        Connections(registry, read_keyring(settings.data_dir)).address_of(saved.world, saved.id)


def test_keys_of_the_environment_are_changed_there(settings, registry, monkeypatch):
    monkeypatch.setenv("METERLINE_SECRETS_KEY", new_key().text)
    with pytest.raises(SettingError, match="METERLINE_SECRETS_KEY"):
        rotated(settings, registry, new_key=True)


def test_without_any_key_it_is_said_what_to_set(settings, registry):
    with pytest.raises(KeysError, match="set METERLINE_SECRETS_KEY"):
        rotated(settings, registry)


def test_the_environment_names_keys_or_a_file_of_them(tmp_path):
    key = new_key()
    assert read_keyring(tmp_path, {"METERLINE_SECRETS_KEY": key.text}).newest() == key
    (tmp_path / "keys").write_text(f"{key.text}\n")
    assert read_keyring(tmp_path, {"METERLINE_SECRETS_KEY_FILE": str(tmp_path / "keys")}).newest() == key
    with pytest.raises(SettingError, match="exclude"):
        read_settings({"METERLINE_SECRETS_KEY": key.text, "METERLINE_SECRETS_KEY_FILE": str(tmp_path / "keys")})
    with pytest.raises(SettingError, match="METERLINE_SECRETS_KEY_FILE"):
        read_settings({"METERLINE_SECRETS_KEY_FILE": str(tmp_path / "gone")})
    with pytest.raises(SettingError, match="id:base64") as refusal:
        read_settings({"METERLINE_SECRETS_KEY": "hunter2"})
    assert "hunter2" not in str(refusal.value)


def test_hosts_that_sources_reach_are_read():
    policy = read_source_policy(
        {"METERLINE_SOURCES_PRIVATE": "0", "METERLINE_SOURCES_ALLOW": "127.0.0.0/8, .db.example"}
    )
    assert policy.pinned("127.0.0.1", 1) == ["127.0.0.1"]
    with pytest.raises(SourceDeniedError):
        policy.pinned("10.0.0.1", 1)
    with pytest.raises(SettingError, match=r"METERLINE_SOURCES_DENY.*host bits"):
        read_settings({"METERLINE_SOURCES_DENY": "10.0.0.1/8"})
