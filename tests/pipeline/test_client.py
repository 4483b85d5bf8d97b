"""The Python client against the real product: nothing that it took is lost, whoever is killed."""

import asyncio
import random
import subprocess
import sys
import threading
from decimal import Decimal

import aiohttp
import pytest

from ingest.client import Client as Sender
from ingest.client import Event
from metering.http.json import loads
from tests.pipeline.cutting import a_cutting_proxy
from tests.pipeline.product import ROOT, Client, Product

pytestmark = pytest.mark.slow

KEY = "test_" + "k" * 40
WAIT_S_MAX = 120


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    """One for all tests here: each has an event_type of its own."""
    environment = {"METERLINE_BOOTSTRAP_API_KEY": KEY}
    started = Product(tmp_path_factory.mktemp("client") / "data", environment=environment).start()
    yield started
    started.stop()


async def sum_and_count(product, event_type):
    """The sum of the amounts, and the number of events: once all that was accepted is applied."""
    async with Client(product, KEY) as client:
        aggregator = {"name": event_type, "entity": event_type, "operation": "sum", "property": "amount"}
        made = await client.call("POST", "/v1/aggregators", aggregator)
        await client.until_applied()
        rows = await client.get("/v1/customers/acme/usage?start_date=2024-01-01&end_date=2100-01-01")
        (row,) = [row for row in rows if row["aggregator_id"] == made["id"]]
        return row["total"], row["count"]


def run(code, *arguments, **options):
    """Start another process that has `Client` and KEY."""
    prologue = f"import os, sys\nfrom ingest.client import Client, Event\nKEY = {KEY!r}\n"
    return subprocess.Popen([sys.executable, "-c", prologue + code, *arguments], cwd=ROOT, text=True, **options)


async def test_threads_send_while_the_product_is_killed_and_answers_are_cut(product):
    """Sum and count are exact, corrections included: versions of one event arrive in their order."""
    threads, events = 4, 3000
    with a_cutting_proxy(product.port, 7) as proxy:
        sender = Sender(proxy.url, KEY, batch_events_max=200, linger_s=0.01, buffer_events_max=2000)

        def keep_sending(first):
            for number in range(first, first + events):
                sender.send("threads", "acme", {"id": number, "amount": Decimal("0.1")})
                if number % 3 == 0:
                    sender.send("threads", "acme", {"id": number, "amount": Decimal("0.3")})

        workers = [threading.Thread(target=keep_sending, args=(n * events,)) for n in range(threads)]
        for worker in workers:
            worker.start()
        chance = random.Random(3)
        for kind in ("gateway", "log", "gateway", "core", "all"):
            await asyncio.sleep(chance.uniform(0.2, 0.6))
            if kind == "all":
                product.kill_all()
                product.start()
            else:
                product.kill_part(kind, chance.randrange(2))
        for worker in workers:
            worker.join()
        sender.close(WAIT_S_MAX)
        assert proxy.cuts
    third = Decimal(threads * events) / 3
    total = third * Decimal("0.3") + 2 * third * Decimal("0.1")
    assert await sum_and_count(product, "threads") == (total, threads * events)


SEND_AND_TELL = """
client = Client(sys.argv[1], KEY, spool_dir=sys.argv[2], linger_s=0.005, batch_events_max=20)
number = int(sys.argv[3])
while True:
    client.send_many([Event("killed", "acme", {"id": n, "amount": 1}) for n in range(number, number + 3)])
    number += 3
    os.write(1, b"%d\\n" % number)
"""


async def test_what_send_took_outlives_a_client_that_is_killed(product, tmp_path):
    """Each event whose `send` returned is there once, whenever the process was killed, and if none could be sent."""
    chance = random.Random(5)
    begin, told = 0, set()
    for url in (product.url, product.url, product.url, product.url, "http://127.0.0.1:9"):
        sender = run(SEND_AND_TELL, url, str(tmp_path), str(begin), stdout=subprocess.PIPE)
        first = sender.stdout.readline()
        await asyncio.sleep(chance.uniform(0, 0.3))
        sender.kill()
        rest, _ = sender.communicate()
        end = int((first + rest).split()[-1])
        told.update(range(begin, end))
        begin = end + 3  # What was under way may have been taken too; its numbers are not used again.
    Sender(product.url, KEY, spool_dir=tmp_path).close(WAIT_S_MAX)
    ids = await ids_of(product, "killed")
    assert told <= set(map(int, ids))
    assert len(set(ids)) == len(ids)


async def ids_of(product, event_type):
    async with Client(product, KEY) as client:
        await client.until_applied()
    ids = []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session:
        while True:
            url = f"{product.url}/v1/events?event_type={event_type}&take=100&skip={len(ids)}"
            async with session.get(url) as answer:
                page = loads(await answer.read())["data"]
            if not page:
                return ids
            ids += [event["record_id"] for event in page]


async def test_a_process_that_ends_without_a_word_sends_what_it_took(product):
    """atexit flushes; linger does not hold it up."""
    code = (
        'c = Client(sys.argv[1], KEY, linger_s=600)\nfor n in range(7): c.send("exit", "acme", {"id": n, "amount": 1})'
    )
    assert run(code, product.url).wait(WAIT_S_MAX) == 0
    assert await sum_and_count(product, "exit") == (7, 7)


FORK = """
c = Client(sys.argv[1], KEY, linger_s=600)
for n in range(5): c.send("fork", "acme", {"id": f"parent-{n}", "amount": 1})
child = os.fork()
if not child:
    for n in range(3): c.send("fork", "acme", {"id": f"child-{n}", "amount": 10})
    c.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
c.close()
"""


async def test_parent_and_child_send_their_own(product):
    """A fork with events in the buffer neither loses nor blocks."""
    assert run(FORK, product.url).wait(WAIT_S_MAX) == 0
    assert await sum_and_count(product, "fork") == (35, 8)


FORK_WITH_SPOOL = """
c = Client(sys.argv[1], KEY, spool_dir=sys.argv[2])
c.send("forked-spool", "acme", {"id": 1, "amount": 1})
child = os.fork()
if not child:
    try:
        c.send("forked-spool", "acme", {"id": 2, "amount": 1})
    except Exception as error:
        os._exit(7 if type(error).__name__ == "ClientClosedError" else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
c.send("forked-spool", "acme", {"id": 3, "amount": 1})
"""


async def test_a_spool_stays_with_the_process_that_opened_it(product, tmp_path):
    """The child is told to open its own; the parent goes on."""
    assert run(FORK_WITH_SPOOL, product.url, str(tmp_path)).wait(WAIT_S_MAX) == 0
    assert await sum_and_count(product, "forked-spool") == (2, 2)


async def test_a_rejected_event_is_told_and_its_neighbours_are_counted(product):
    """By the real rules, with the path to what is wrong."""
    heard = []
    with Sender(product.url, KEY, on_rejected=heard.append) as sender:
        sender.send_many(
            [
                Event("rejected", "acme", {"id": 1, "amount": 1}),
                Event("rejected", "acme", {"id": 2, **{f"property-{n}": n for n in range(25)}}),
                Event("rejected", "acme", {"id": 3, "amount": Decimal("1E+20")}),
                Event("rejected", "acme", {"id": 4, "amount": 4}),
            ]
        )
    assert [(one.code, one.path) for one in heard] == [
        ("too_many_properties", ["record"]),
        ("number_out_of_range", ["record", "amount"]),
    ]
    assert await sum_and_count(product, "rejected") == (5, 2)
