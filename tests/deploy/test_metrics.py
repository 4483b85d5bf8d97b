import re
import urllib.request
from pathlib import Path

import pytest

from deploy.metrics import METRICS, _from_here
from tests.pipeline.product import Client, Product

ROOT = Path(__file__).parents[2]


def test_every_metric_is_described_where_operators_read():
    """Name, meaning and remedy stand in deploy's README as they are declared, and each name is declared once."""
    text = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    for metric in METRICS:
        label = f" by `{metric.label}`" if metric.label else ""
        assert f"| `{metric.name}`{label} | {metric.meaning} | {metric.remedy} |" in text
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize(
    ("address", "here"),
    [
        (None, True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.7", False),
        ("::ffff:10.0.0.7", False),
        ("2001:db8::1", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_only_this_machine_is_told(address, here):
    """Loopback, however it is written; nothing else."""
    assert _from_here(address) is here


@pytest.mark.slow
async def test_the_whole_product_tells_what_it_does(tmp_path):
    """Counts of both gateways are one; a killed part shows as a restart, and no count goes back."""
    product = Product(tmp_path / "data").start()
    try:
        async with Client(product) as client:
            for number in range(4):
                event = {"customer_id": "a", "timestamp": "2024-01-01T00:00:00Z", "event_type": "x"}
                await client.send([{**event, "record": {"id": f"{number}-{index}"}} for index in range(50)])
            await client.until_applied()
            before = _scraped(product)
            assert before["meterline_events_accepted_total"] == "200"
            assert before["meterline_lag_events"] == "0"
            assert int(before['meterline_applied_offset{lane="0"}']) >= 0
            assert int(before["meterline_log_bytes"]) > 0
            assert any(name.startswith("meterline_store_rows{") and int(value) >= 200 for name, value in before.items())
            assert any(name.startswith("meterline_store_parts{") for name in before)
            product.kill_part("gateway")
            await client.send([{**event, "record": {"id": "again"}}])
            await client.until_applied()
        after = _scraped(product)
        assert after['meterline_part_restarts_total{part="gateway"}'] == "1"
        assert after["meterline_events_accepted_total"] == "201"
    finally:
        product.stop()


def _scraped(product):
    with urllib.request.urlopen(f"{product.url}/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = answer.read().decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r'[a-z_]+(\{([a-z]+="[^"]*",?)+\})? [0-9.]+', line) for line in lines)
    return dict(line.rsplit(" ", 1) for line in lines)
