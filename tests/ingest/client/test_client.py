"""What the client does with each kind of answer; with the real server: tests/pipeline/test_client.py."""

import json
import subprocess
import sys
import threading

import pytest

from ingest.client import BufferFullError, Client, ClientClosedError, Event, NotDeliveredError
from tests.ingest.client.scripted import CUT, TAKE, WAIT_S_MAX, Scripted, refusal

KEY = "test_" + "k" * 40
NOWHERE = "http://127.0.0.1:9"


def send(client, *numbers):
    for number in numbers:
        client.send("call", "acme", {"id": number})


def abandon(client):
    """Close a client whose events nobody takes; gives what it still held."""
    with pytest.raises(NotDeliveredError) as caught:
        client.close(0)
    return [json.loads(event)["record"]["id"] for event in caught.value.events]


@pytest.mark.parametrize(
    "answer",
    [
        CUT,
        refusal(503, headers={"Retry-After": "0"}),
        refusal(429, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        refusal(500),
        (200, {}, b"<html>sign in to the hotel's network</html>"),
        (201, {}, b'{"events_created_count": 1, "events_failed": []}'),
    ],
    ids=["cut", "503", "429", "500", "not ours", "not all"],
)
def test_the_same_bytes_are_sent_until_all_of_them_are_accounted_for(answer):
    """Whatever the first answer is but one that says it of each event."""
    with Scripted(answer, answer) as server, Client(server.url, KEY) as client:
        client.send_many([Event("call", "acme", {"id": 1}), Event("call", "acme", {"id": 2})])
        client.flush(WAIT_S_MAX)
        assert len(server.bodies) == 3
        assert len(set(server.bodies)) == 1


@pytest.mark.slow
def test_a_wait_that_is_asked_for_is_kept():
    """Though the pauses of its own would be shorter."""
    with Scripted(refusal(503, headers={"Retry-After": "1"})) as server, Client(server.url, KEY) as client:
        send(client, 1)
        client.flush(WAIT_S_MAX)
        first, second = server.times
        assert second - first >= 1


def test_events_share_requests_up_to_the_limits():
    """By number, and by bytes."""
    with Scripted() as server, Client(server.url, KEY, batch_events_max=3, linger_s=60) as client:
        send(client, *range(7))
        client.flush(WAIT_S_MAX)
        assert server.ids() == [[0, 1, 2], [3, 4, 5], [6]]
    with Scripted() as server, Client(server.url, KEY, batch_bytes_max=70_000, linger_s=60) as client:
        client.send_many([Event("call", "acme", {"id": n, "text": "x" * 30_000}) for n in range(5)])
        client.flush(WAIT_S_MAX)
        assert server.ids() == [[0, 1], [2, 3], [4]]


def test_a_batch_refused_as_a_whole_is_halved_until_the_culprit_is_alone():
    """The others are sent in their order; the culprit is told."""
    heard = []
    answers = [refusal(400), TAKE, refusal(400), TAKE, refusal(400, message="not this one")]
    with Scripted(*answers) as server, Client(server.url, KEY, on_rejected=heard.append) as client:
        client.send_many([Event("call", "acme", {"id": n}) for n in range(4)])
        client.flush(WAIT_S_MAX)
        assert server.ids() == [[0, 1, 2, 3], [0, 1], [2, 3], [2], [3]]
    assert [(json.loads(one.event)["record"]["id"], one.message) for one in heard] == [(3, "400: not this one")]


def test_what_a_stranger_says_rejects_no_event():
    """A 400 that is not in our shape says nothing of the events: they are kept."""
    with Scripted(*[(400, {}, b"The plain HTTP request was sent to HTTPS port")] * 9) as server:
        client = Client(server.url, KEY)
        send(client, 1)
        with pytest.raises(NotDeliveredError, match="status 400"):
            client.flush(WAIT_S_MAX)
        assert abandon(client) == [1]
        assert not client.rejections


def test_a_key_that_is_refused_is_told_at_once_and_loses_nothing():
    """flush does not wait for what cannot come."""
    with Scripted(*[refusal(401, message="this API key is not known")] * 9) as server:
        client = Client(server.url, KEY)
        send(client, 1, 2)
        with pytest.raises(NotDeliveredError, match="401: this API key is not known"):
            client.flush()
        assert abandon(client) == [1, 2]


def test_a_full_buffer_raises_when_told_to():
    """Nothing of what does not fit is taken, and all that was is kept."""
    client = Client(NOWHERE, KEY, buffer_events_max=3, on_full="raise")
    send(client, 1, 2)
    with pytest.raises(BufferFullError, match="2 events wait"):
        client.send_many([Event("call", "acme", {"id": n}) for n in (3, 4)])
    send(client, 5)
    with pytest.raises(BufferFullError):
        send(client, 6)
    assert abandon(client) == [1, 2, 5]


def test_a_full_buffer_makes_the_sender_wait():
    """It goes on once there is room, and nothing is lost; the buffer also counts bytes."""
    with Scripted(refusal(503), refusal(503)) as server:
        client = Client(server.url, KEY, buffer_bytes_max=70_000, batch_events_max=1, linger_s=0)
        for number in range(5):
            client.send("call", "acme", {"id": number, "text": "x" * 40_000})
        client.close(WAIT_S_MAX)
        assert server.ids() == [[0], [0], [0], [1], [2], [3], [4]]


def test_who_waits_for_room_is_told_when_the_client_closes():
    """It does not wait for ever, and knows that its event was not taken."""
    client = Client(NOWHERE, KEY, buffer_events_max=1)
    send(client, 1)
    told = threading.Event()

    def wait():
        try:
            send(client, 2)
        except ClientClosedError:
            told.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert abandon(client) == [1]
    waiter.join(WAIT_S_MAX)
    assert told.is_set()


def test_many_threads_send_through_one_client():
    """Each event arrives once; those of a thread in their order."""
    with Scripted() as server:
        with Client(server.url, KEY, batch_events_max=100, buffer_events_max=500) as client:
            threads = [
                threading.Thread(target=send, args=(client, *range(first, first + 1000)))
                for first in range(0, 8000, 1000)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        arrived = [number for batch in server.ids() for number in batch]
        assert sorted(arrived) == list(range(8000))
        for first in range(0, 8000, 1000):
            own = [number for number in arrived if first <= number < first + 1000]
            assert own == sorted(own)


def test_a_callback_that_fails_stops_nothing(caplog):
    """It is logged, and the next events go out."""
    failed = [{"index": 0, "error": {"code": "nested", "path": ["record"], "message": "record.a is an object"}}]
    answer = (201, {}, json.dumps({"events_created_count": 0, "events_failed": failed}).encode())

    def fail(rejection):
        raise RuntimeError(rejection.code)

    with Scripted(answer) as server, Client(server.url, KEY, on_rejected=fail) as client:
        send(client, 1)
        client.flush(WAIT_S_MAX)
        send(client, 2)
        client.flush(WAIT_S_MAX)
        assert server.ids() == [[1], [2]]
    assert "on_rejected failed" in caplog.text


@pytest.mark.slow
def test_it_is_light():
    """Neither the server's packages nor what they need are loaded."""
    code = "import ingest.client, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"aiohttp", "asyncio", "numpy", "pyarrow", "sqlalchemy", "chdb", "structlog", "metering", "uvloop"}
    assert not heavy & set(loaded)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "127.0.0.1:8080"}, "url='127.0.0.1:8080' must be an address such as http://"),
        ({"key": "Bearer x"}, "key must be an API key"),
        ({"batch_events_max": 5001}, "batch_events_max=5001 must be 1 to 5000"),
        ({"batch_bytes_max": 1000}, "batch_bytes_max=1000 must be 65538 to 33554432"),
        ({"buffer_events_max": 0}, "buffer_events_max=0 must be 1 or more"),
        ({"linger_s": -1}, "linger_s=-1 must be seconds"),
        ({"on_full": "drop"}, "on_full='drop' must be"),
    ],
)
def test_a_wrong_option_names_itself_and_the_remedy(options, message):
    """And no client comes of it."""
    with pytest.raises(ValueError, match=message):
        Client(**{"url": NOWHERE, "key": KEY, **options})
