"""The judge is judged: what it lets pass, and what it does not."""

import asyncio
import random
from collections import Counter

from tests.torture.events import CORRECTED, Event
from tests.torture.ledger import Ledger
from tests.torture.proxy import Cut, CuttingProxy

KEY = (CORRECTED, "1")
EARLY, LATE = "2024-01-01T00:00:00.000001Z", "2024-02-01T00:00:00.000001Z"


def a_version(timestamp, amount, customer="acme"):
    return Event(CORRECTED, 1, customer, timestamp, str(amount))


def a_ledger(*steps):
    """Steps are (event or None for a deletion, unclear)."""
    ledger = Ledger()
    for event, unclear in steps:
        if event is None:
            ledger.retract([KEY], unclear=unclear)
        else:
            ledger.receive(event, unclear=unclear)
    return ledger


def test_the_latest_timestamp_is_the_only_outcome_whatever_was_repeated():
    """A late copy of an older version changes nothing."""
    ledger = a_ledger((a_version(EARLY, 1), True), (a_version(LATE, 2), True), (a_version(EARLY, 3), True))
    assert ledger.outcomes(KEY) == {a_version(LATE, 2)}
    assert ledger.model.usage("acme")["amount"] == 2


def test_of_equal_timestamps_the_last_wins_unless_an_earlier_one_may_still_come():
    """Only an attempt that had no answer leaves a doubt."""
    one, two = a_version(EARLY, 1), a_version(EARLY, 2)
    assert a_ledger((one, False), (two, True)).outcomes(KEY) == {two}
    assert a_ledger((one, True), (two, False)).outcomes(KEY) == {one, two}


def test_a_deletion_takes_what_came_before_and_nothing_after():
    """An attempt without an answer may bring it back; a version after it begins anew, however early."""
    one, two = a_version(LATE, 1), a_version(EARLY, 2)
    assert a_ledger((one, False), (None, False)).outcomes(KEY) == {None}
    assert a_ledger((one, True), (None, False)).outcomes(KEY) == {None, one}
    assert a_ledger((one, False), (None, False), (two, False)).outcomes(KEY) == {two}
    assert a_ledger((one, False), (None, False), (two, False)).model.usage("acme")["amount"] == 2


def test_the_chain_says_who_superseded_whom_and_what_was_deleted():
    """A version equal to the current one is not kept; one that came already beaten is."""
    one, two, three = a_version(EARLY, 1), a_version(LATE, 2), a_version(EARLY, 3)
    ledger = a_ledger((one, False), (one, False), (two, False), (three, False), (None, False), (one, False))
    assert ledger.chain(KEY) == [[one, 2, False], [two, None, True], [three, 2, False], [one, None, False]]
    assert a_ledger((one, True)).chain(KEY) is None


async def ask_through(proxy, request):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(request)
    try:
        return await reader.read(1000)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_the_proxy_cuts_where_it_says_and_the_request_was_delivered():
    """Three kinds of cuts let the request through and never the whole answer; one cuts the request itself."""
    request, answer = b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", b"HTTP/1.1 201 Created\r\n\r\n"
    delivered = Counter()

    async def serve(reader, writer):
        received = await reader.read(1000)
        while received and len(received) < len(request) and (more := await reader.read(1000)):
            received += more
        delivered[received == request] += 1
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with CuttingProxy(port, random.Random(1), 1) as proxy:
            for _ in range(40):
                assert await ask_through(proxy, request) != answer
            assert set(proxy.cuts) == set(Cut)
            assert sum(proxy.cuts.values()) == 40
            proxy.cut_share = 0
            assert await ask_through(proxy, request) == answer
    assert delivered[True] >= 41 - proxy.cuts[Cut.IN_THE_REQUEST]
