"""The whole product with its registry on PostgreSQL."""

import json
import subprocess
import time
import urllib.request
from datetime import UTC, datetime

import pytest

from tests.peers.postgres.server import LOCKED_USER
from tests.pipeline.product import Product

pytestmark = pytest.mark.slow
PASSWORD = "un%2Ftold"
WAIT_S_MAX = 60


@pytest.fixture
def product(postgres, tmp_path):
    """Its user owns the database and has a password."""
    name = postgres.database()
    postgres.run(f"DROP ROLE IF EXISTS {LOCKED_USER}", f"CREATE ROLE {LOCKED_USER} LOGIN PASSWORD 'un/told'")
    postgres.run(f"ALTER DATABASE {name} OWNER TO {LOCKED_USER}")
    url = postgres.url(name, LOCKED_USER, PASSWORD)
    product = Product(tmp_path / "data", environment={"METERLINE_REGISTRY_URL": url})
    yield product
    if product.process is not None:
        product.stop()
    postgres.drop(name)
    postgres.run(f"DROP ROLE {LOCKED_USER}")


def test_events_become_usage_and_no_password_shows(product):
    """Keys, customers and lanes lie in PostgreSQL; nothing prints or lists the password."""
    product.start()
    now = datetime.now(UTC).isoformat()
    event = {"customer_id": "acme", "timestamp": now, "event_type": "call", "record": {"id": 1}}
    assert ask(product, "/v1/events", event) == {}
    deadline = time.monotonic() + WAIT_S_MAX
    while not ask(product, "/v1/customers?type=automatically_created")["data"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    listed = product.command("keys", "list")
    assert "first" in listed.stdout, listed.stderr
    status = product.command("status")
    assert "registry, bytes" not in status.stdout
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    for text in (product.output(), listed.stdout, status.stdout, status.stderr, shown):
        assert PASSWORD not in text
        assert "un/told" not in text
    assert not (product.data_dir / "registry.db").exists()


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("ALTER ROLE {role} PASSWORD 'another'", "password authentication failed"),
        ("ALTER DATABASE {name} RENAME TO {name}_gone", "does not exist: create it"),
    ],
)
def test_it_says_in_one_line_why_it_cannot_start(postgres, product, statement, line):
    """Exit code 1, the reason and the remedy."""
    name = product._environment["METERLINE_REGISTRY_URL"].rpartition("/")[2]
    postgres.run(statement.format(role=LOCKED_USER, name=name))
    for command in ("up", "keys list"):
        told = product.command(*command.split())
        assert told.returncode == 1
        (said,) = told.stderr.splitlines()
        assert line in said
        assert PASSWORD not in said
    if "RENAME" in statement:
        postgres.run(f"ALTER DATABASE {name}_gone RENAME TO {name}")


def ask(product, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {product.key}", "Content-Type": "application/json"}
    request = urllib.request.Request(product.url + path, data, headers)
    with urllib.request.urlopen(request, timeout=WAIT_S_MAX) as answer:
        return json.load(answer)
