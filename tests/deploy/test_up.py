"""`meterline up` as an operator meets it: first start, second start, Ctrl-C, and each reason why it cannot start."""

import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import pytest

from tests.pipeline.product import ROOT, Client, Product

pytestmark = pytest.mark.slow


async def test_the_printed_curl_line_works_when_pasted(product):
    """The first start prints a line that sends an event, and the event is counted."""
    line = next(line for line in product.output().splitlines() if line.startswith("curl "))
    assert _paste(line).startswith("HTTP/1.1 201")
    async with Client(product) as client:
        await client.until_applied()
        assert (await client.get("/v1/events"))["data"][0]["record_id"] == "call-1"


async def test_a_second_start_finds_everything_as_it_was(tmp_path):
    """Ctrl-C ends with 0 within seconds; the next start has the same events, keys and figures."""
    product = Product(tmp_path / "data").start()
    key = product.key
    event = {"customer_id": "a", "timestamp": "2024-01-01T00:00:00Z", "event_type": "x", "record": {"id": 1, "n": 1.5}}
    async with Client(product) as client:
        await client.call("POST", "/v1/events", event)
    assert product.stop() == 0
    product.start()
    try:
        async with Client(product, key) as client:
            await client.until_applied()
            (found,) = (await client.get("/v1/events"))["data"]
            assert found["record"] == {"id": 1, "n": pytest.approx(1.5)}
        assert product.output().count("shown this once") == 1
        assert "is there already" in product.output()
    finally:
        assert product.stop() == 0


def test_a_taken_port_is_one_clear_line(tmp_path):
    """It names the address and the remedy, and nothing of it is a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        product = Product(tmp_path / "data", port=taken.getsockname()[1])
        result = product.command("up")
    assert result.returncode == 1
    assert result.stdout == ""
    assert re.fullmatch(r"meterline: 127\.0\.0\.1:\d+ cannot be used \(.*\): .*METERLINE_PORT.*\n", result.stderr)


def test_a_data_folder_in_use_is_one_clear_line(product):
    """It names the folder and the process that has it."""
    other = Product(product.data_dir)
    result = other.command("up")
    assert result.returncode == 1
    assert re.fullmatch(rf"meterline: the data folder .* is in use .*process {product.process.pid}.*\n", result.stderr)


def test_data_of_a_newer_release_is_one_clear_line(tmp_path):
    """Neither the registry nor the store is touched."""
    product = Product(tmp_path / "data").start()
    assert product.stop() == 0
    with sqlite3.connect(product.data_dir / "registry.db") as registry:
        registry.execute("UPDATE alembic_version SET version_num = '9999'")
    result = product.command("up")
    assert result.returncode == 1
    assert re.fullmatch(r"meterline: .*9999.*newer.*\n", result.stderr)


def test_a_store_of_a_newer_release_is_one_clear_line(tmp_path):
    """The core says why and everything stops, instead of starting it again and again."""
    product = Product(tmp_path / "data").start()
    assert product.stop() == 0
    record = "INSERT INTO schema_migrations (migration, statement) VALUES ('9999_later.sql', 0)"
    script = f"""
from metering.store.client import Store
store = Store.open("chdb://{product.data_dir}/store")
store.command({record!r})
store.close()
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
    result = product.command("up")
    assert result.returncode == 1
    lines = [line for line in (result.stdout + result.stderr).splitlines() if line]
    assert any(re.search(r"core: .*newer release .*9999_later", line) for line in lines), lines
    assert "Traceback" not in result.stdout + result.stderr


def test_a_wrong_setting_is_one_clear_line(tmp_path):
    """It names the variable, its value and what it must be."""
    product = Product(tmp_path / "data", environment={"METERLINE_GATEWAY_WORKERS": "many"})
    result = product.command("up")
    assert result.returncode == 1
    assert result.stderr == "meterline: METERLINE_GATEWAY_WORKERS='many' must be a whole number from 1 to 64\n"


def test_parts_leave_when_the_supervisor_is_killed(tmp_path):
    """No part outlives a kill -9 of the supervisor, and the next start needs no cleaning up."""
    product = Product(tmp_path / "data").start()
    parts = [pid for pids in product.parts().values() for pid in pids]
    assert len(parts) == 5
    product.process.kill()
    product.process.wait()
    product.start()
    alive = [pid for pid in parts if _alive(pid)]
    assert alive == []
    assert product.stop() == 0


def test_a_dead_part_is_started_again(product):
    """kill -9 of the core: another takes its place, and the operator is told."""
    before = product.parts()["core"]
    os.kill(before[0], signal.SIGKILL)
    deadline = time.monotonic() + 20
    while product.parts()["core"] in ([], before):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "core ended (killed by SIGKILL): starting it again" in product.output()


def test_keys_are_made_listed_and_shut_from_the_command_line(product):
    """A key's text is printed once; the list never shows it; a revoked one is shut at once."""
    secret = product.command(
        "keys", "create", "--account", "default", "--mode", "prod", "--scope", "read", "--expires-days", "1"
    ).stdout.strip()
    assert re.fullmatch(r"prod_[0-9A-Za-z]{38}", secret)
    listed = product.command("keys", "list").stdout
    assert secret not in listed
    assert secret[:9] in listed
    key_id = next(line.split()[0] for line in listed.splitlines() if secret[:9] in line)
    assert _status(product, secret) == 200
    assert product.command("keys", "revoke", key_id).returncode == 0
    time.sleep(0.1)
    assert _status(product, secret) == 401


def test_a_key_is_changed_for_another_without_a_gap(product):
    """The successor may do the same in the same account and mode; the old key ends with the overlap."""
    account = product.command("accounts", "create", "an account").stdout.splitlines()[1].partition(":")[2]
    words = shlex.split(account.replace("test", "prod").replace("admin", "read"))[1:]
    old = product.command(*words).stdout.strip()
    for overlap, old_status in (("1", 200), ("0", 401)):
        listed = product.command("keys", "list", "--account", "an account").stdout
        key_id = next(line.split()[0] for line in listed.splitlines() if old[:9] in line)
        new = product.command("keys", "rotate", key_id, "--overlap-hours", overlap).stdout.strip()
        assert re.fullmatch(r"prod_[0-9A-Za-z]{38}", new)
        assert new != old
        time.sleep(0.1)
        assert (_status(product, old), _status(product, new)) == (old_status, 200)
    assert product.command("keys", "rotate", key_id).returncode == 1


def test_the_demo_runs_twice_and_shows_the_same(product):
    """It sends the trace, prices it, and says where to look; running it again changes nothing."""
    first, second = product.command("demo"), product.command("demo")
    assert first.returncode == second.returncode == 0, first.stdout + second.stdout
    table = [line for line in first.stdout.splitlines() if line.startswith(("Conversation", "Code"))]
    assert len(table) == 2
    assert table == [line for line in second.stdout.splitlines() if line.startswith(("Conversation", "Code"))]


def _paste(line):
    return subprocess.run([*shlex.split(line), "-s"], capture_output=True, text=True, check=True).stdout


def _status(product, secret):
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"{product.url}/v1/customers"]
    shown = subprocess.run([*command, "-H", f"Authorization: Bearer {secret}"], capture_output=True, check=True)
    return int(shown.stdout)


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
