"""What is said to a server and what is made of its answers, against a double where no real one can show it."""

import contextlib
import ipaddress
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import dns.message
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest

from loaders.errors import (
    QueryCancelledError,
    QueryTimeoutError,
    SourceDeniedError,
    SourceError,
    SourceUnavailableError,
)
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.provider import Address, Provider
from tests.peers.mongo.double import HANG_UP, Double, error, first_batch, next_batch

QUERY = '{"collection": "orders", "find": {}}'
PATIENCE_S = 120
ROW = {"id": 1}


@pytest.fixture
def opened():
    """Open a source; it is closed with the test."""
    sources = []

    def open_one(url, policy=None, **limits):
        address = Address(Provider.MONGODB, url)
        sources.append(open_source(address, policy or HostPolicy(), SourceLimits(**limits)))
        return sources[-1]

    yield open_one
    for source in sources:
        source.close()


def drained(source, query=QUERY, page_rows_max=10):
    """Read to the end; give the number of rows."""
    return sum(page.rows for page in source.pages(query, {}, page_rows_max=page_rows_max))


def eventually(holds):
    """Wait for it."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_wrong_password_is_denied_with_the_servers_words_and_without_the_password(opened):
    """At the ping, and with what to look at."""
    said = pytest.raises(SourceDeniedError, match=r"Authentication failed\..*authSource=admin")
    with Double(saslStart=error(18, "Authentication failed.")) as server, said as denied:
        opened(server.url("reader:wr0ng-passw0rd@")).ping()
    assert "wr0ng" not in repr(denied.value)


def rights(roles, actions, users=("reader",)):
    """Give the answer to connectionStatus."""
    told = {
        "authenticatedUsers": [{"user": user, "db": "shop"} for user in users],
        "authenticatedUserRoles": [{"role": role, "db": "shop"} for role in roles],
        "authenticatedUserPrivileges": [{"resource": {"db": "shop", "collection": ""}, "actions": actions}],
    }
    return {"authInfo": told, "ok": 1.0}


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (rights(["readWrite"], ["find", "insert", "update"]), "insert, update"),
        (rights(["root"], []), "root"),
        (rights(["custom"], ["find", "dropDatabase"]), "dropDatabase"),
        (rights([], [], users=()), "no user"),
    ],
)
def test_who_may_write_is_warned_of(opened, status, word):
    """And told to come as another."""
    with Double(connectionStatus=status) as server:
        (warning,) = opened(server.url()).ping()
    assert word in warning
    assert "the role read" in warning


@pytest.mark.parametrize("status", [rights(["read"], ["find", "listCollections", "killCursors"]), error(59, "unknown")])
def test_who_may_only_read_is_not(opened, status):
    """Nor where the server cannot tell."""
    with Double(connectionStatus=status) as server:
        assert list(opened(server.url()).ping()) == []


def test_a_cancelled_query_raises_at_once_and_ends_at_the_server(opened):
    """It is the client's being gone that ends it there; the source can be used again."""
    with Double() as server:
        server.answers["find"] = server.hold
        source, raised = opened(server.url()), []

        def wait():
            try:
                drained(source)
            except SourceError as fault:
                raised.append(fault)

        waiting = threading.Thread(target=wait)
        waiting.start()
        eventually(lambda: server.held == 1)
        source.cancel()
        waiting.join(PATIENCE_S)
        assert [type(fault) for fault in raised] == [QueryCancelledError]
        eventually(lambda: server.held == 0)
        server.answers["find"] = first_batch([ROW])
        assert drained(source) == 1
        assert len(server.commands("find")) == 2, "a query that was cut must not be sent again"


def test_a_result_that_was_begun_is_forgotten_by_the_server_when_cancelled(opened):
    """And what comes after is no end of the result, but the cancellation."""
    with Double(find=first_batch([ROW] * 5, cursor=77), getMore=next_batch([ROW], cursor=77)) as server:
        source = opened(server.url())
        pages = source.pages(QUERY, {}, page_rows_max=2)
        next(pages)
        source.cancel()
        with pytest.raises(QueryCancelledError):
            list(pages)
        assert [command["cursors"] for command in server.commands("killCursors")] == [[77]]


@pytest.mark.slow
def test_a_slow_query_is_ended_by_the_server_which_is_told_how_long_it_may_take(opened):
    """In milliseconds, and no longer than the limit."""
    with Double() as server:
        server.answers["find"] = server.hold
        with pytest.raises(QueryTimeoutError):
            drained(opened(server.url(), statement_s_max=1.0))
        assert 0 < server.commands("find")[0]["maxTimeMS"] <= 1000
        eventually(lambda: server.held == 0)


@pytest.mark.slow
def test_a_slow_aggregate_too(opened):
    """Its command is another."""
    with Double() as server:
        server.answers["aggregate"] = server.hold
        with pytest.raises(QueryTimeoutError):
            drained(opened(server.url(), statement_s_max=1.0), '{"collection": "orders", "aggregate": []}')
        assert 0 < server.commands("aggregate")[0]["maxTimeMS"] <= 1000


@pytest.mark.slow
def test_a_server_that_does_not_mind_its_limit_is_left(opened):
    """So no run waits for ever."""
    with Double() as server:
        server.answers["find"] = lambda command: server.hold(command | {"maxTimeMS": 3_600_000})
        with pytest.raises(QueryTimeoutError, match="within 1 s"):
            drained(opened(server.url(), statement_s_max=1.0))
        eventually(lambda: server.held == 0)


@pytest.mark.parametrize(
    "more",
    [error(43, "cursor id 77 not found"), error(237, "killed"), error(11600, "interrupted at shutdown"), HANG_UP],
)
def test_a_result_that_stops_in_the_middle_is_an_error_and_never_an_end(opened, more):
    """Whether the cursor died, was killed, or the server went."""
    with Double(find=first_batch([ROW] * 3, cursor=77), getMore=more) as server:
        pages = opened(server.url()).pages(QUERY, {}, page_rows_max=3)
        assert next(pages).rows == 3
        with pytest.raises(SourceUnavailableError):
            next(pages)


def test_a_server_that_falls_silent_in_the_middle_is_unavailable(opened):
    """After the limit for that, which is another than the query's."""
    with Double(find=first_batch([ROW] * 3, cursor=77)) as server:
        server.answers["getMore"] = server.hold
        pages = opened(server.url(), idle_s_max=0.3).pages(QUERY, {}, page_rows_max=3)
        next(pages)
        with pytest.raises(SourceUnavailableError):
            next(pages)


def test_a_right_that_is_missing_is_told(opened):
    """In the server's words."""
    refusal = error(13, "not authorized on shop to execute command")
    with Double(find=refusal) as server, pytest.raises(SourceDeniedError, match="not authorized on shop"):
        drained(opened(server.url()))


def test_pages_are_asked_for_by_the_page_and_say_who_asks(opened):
    """So that an administrator knows the query, and a batch is no larger than a page."""
    with Double(find=first_batch([ROW], cursor=77), getMore=next_batch([ROW])) as server:
        drained(opened(server.url()), page_rows_max=123)
        for command in (*server.commands("find"), *server.commands("getMore")):
            assert command["batchSize"] == 123
            assert "meterline" in command["comment"]


def test_what_else_a_query_says_goes_to_the_server_as_it_is(opened):
    """In a find and in an aggregate."""
    more = '"hint": {"a": 1}, "collation": {"locale": "fr"}, "let": {"x": 1}, "allowDiskUse": true'
    with Double(find=first_batch([ROW]), aggregate=first_batch([ROW])) as server:
        drained(opened(server.url()), f'{{"collection": "orders", "find": {{}}, {more}}}')
        drained(opened(server.url()), f'{{"collection": "orders", "aggregate": [], {more}}}')
        for command in (*server.commands("find"), *server.commands("aggregate")):
            assert (command["hint"], command["collation"]["locale"]) == ({"a": 1}, "fr")
            assert (command["let"], command["allowDiskUse"]) == ({"x": 1}, True)


def replica_set(server, others=(), **told):
    """Give what a member says."""
    me = f"{server.host}:{server.port}"
    return {"setName": "rs0", "setVersion": 1, "hosts": [me, *others], "me": me, "primary": me} | told


def test_a_set_is_read_at_its_secondaries_and_a_router_sends_to_primaries(opened):
    """Unless the URL says otherwise."""
    with Double(find=first_batch([ROW])) as server:
        server.hello = replica_set(server)
        drained(opened(server.url()))
        drained(opened(server.url(asked="?readPreference=nearest")))
        server.hello = {"msg": "isdbgrid"}
        drained(opened(server.url()))
        preferences = [command.get("$readPreference", {}).get("mode") for command in server.commands("find")]
    assert preferences[:2] == ["secondaryPreferred", "nearest"]
    assert preferences[2] in {None, "primary"}  # To a router, no word is the same.


def test_the_clock_is_that_of_what_a_secondary_has(opened):
    """Or a run would miss for ever what reached it late."""
    behind = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    with Double() as server:
        server.hello = replica_set(server, isWritablePrimary=False, ismaster=False, secondary=True)
        server.hello["lastWrite"] = {"lastWriteDate": behind}
        assert opened(server.url()).now() == behind


class Listener:
    """Counts who connects to another address of this machine."""

    def __init__(self, host, port=0):
        self._socket = socket.create_server((host, port))
        self._socket.setblocking(False)
        self.name = f"{host}:{self._socket.getsockname()[1]}"

    def was_dialled(self):
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def close(self):
        self._socket.close()


def test_a_host_that_a_set_names_is_judged_like_the_urls_own(opened):
    """The set's word is the word of somebody else's server."""
    policy = HostPolicy(private=False, allow=(ipaddress.ip_network("127.0.0.1/32"),))
    inner = Listener("127.0.0.2")
    with Double(find=first_batch([ROW])) as server:
        server.hello = replica_set(server, [inner.name])
        source = opened(server.url(), policy)
        assert drained(source) == 1
        eventually(lambda: source._link.gate.denied is not None)
        assert "127.0.0.2" in str(source._link.gate.denied)
    assert not inner.was_dialled()
    inner.close()


@pytest.mark.slow
def test_a_set_that_leads_nowhere_but_inside_is_denied(opened):
    """And the refusal is told in place of the driver's word, that no server was found."""
    policy = HostPolicy(private=False, allow=(ipaddress.ip_network("127.0.0.1/32"),))
    inner = Listener("127.0.0.2")
    with Double() as server:
        server.hello = replica_set(server) | {"hosts": [inner.name], "me": inner.name, "primary": inner.name}
        with pytest.raises(SourceDeniedError, match=r"127\.0\.0\.2"):
            opened(server.url(asked="?replicaSet=rs0"), policy, connect_s_max=3).ping()
    assert not inner.was_dialled()
    inner.close()


def test_a_host_of_the_url_is_judged_before_anything_is_dialled(opened):
    """All of them."""
    with Double() as server:
        with pytest.raises(SourceDeniedError, match=r"127\.0\.0\.1"):
            opened(server.url(), HostPolicy(private=False)).ping()
        assert server.connections == 0


@pytest.mark.slow
def test_a_name_is_resolved_once_and_what_was_judged_is_dialled(opened, monkeypatch):
    """A name that answers differently the second time gains nothing."""
    resolve, answers = socket.getaddrinfo, []

    def rebinding(host, *rest, **more):
        if host != "db.example":
            return resolve(host, *rest, **more)
        answers.append("127.0.0.2" if len(answers) % 2 else "127.0.0.1")
        return resolve(answers[-1], *rest, **more)

    policy = HostPolicy(private=False, allow=(ipaddress.ip_network("127.0.0.1/32"),))
    with Double() as server:
        inner = Listener("127.0.0.2", server.port)
        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        for _ in range(4):
            with contextlib.suppress(SourceError):
                opened(f"mongodb://db.example:{server.port}/shop", policy, connect_s_max=0.3).ping()
    assert len(answers) > 1
    assert not inner.was_dialled()
    inner.close()


@pytest.mark.parametrize("hello", [{"maxWireVersion": 2}, {"hosts": 5, "setName": "rs0"}])
def test_a_server_that_talks_nonsense_is_unavailable(opened, hello):
    """No exception of the driver comes through."""
    with Double(hello=hello) as server, pytest.raises(SourceError):
        opened(server.url(), connect_s_max=0.5).ping()


class NameServer:
    """Answers what a test gives it, over UDP: `{("name.", "SRV"): "text of a record"}`."""

    def __init__(self, records):
        self._records = records
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.02)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.resolver = dns.resolver.Resolver(configure=False)
        self.resolver.nameservers = ["127.0.0.1"]
        self.resolver.port = self._socket.getsockname()[1]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join()
        self._socket.close()

    def _serve(self):
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                asked, sender = self._socket.recvfrom(4096)
                answer = dns.message.make_response(dns.message.from_wire(asked))
                (question,) = answer.question
                kind = dns.rdatatype.to_text(question.rdtype)
                record = self._records.get((question.name.to_text(), kind))
                if record:
                    answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, record))
                self._socket.sendto(answer.to_wire(), sender)


@pytest.mark.slow
def test_a_host_of_the_name_systems_is_judged_where_it_is_dialled(opened, monkeypatch):
    """`mongodb+srv`: the records name hosts, and those stand where they like."""
    policy = HostPolicy(private=False, allow=(ipaddress.ip_network("127.0.0.1/32"),))
    resolve = socket.getaddrinfo
    stands_at = {}
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: resolve(stands_at.get(host, host), *rest, **more)
    )
    with Double() as server:
        inner = Listener("127.0.0.2", server.port)
        record = f"0 0 {server.port} db.cluster.example."
        with NameServer({("_mongodb._tcp.cluster.example.", "SRV"): record}) as names:
            monkeypatch.setattr(dns.resolver, "default_resolver", names.resolver)
            url = "mongodb+srv://cluster.example/shop?tls=false"
            stands_at["db.cluster.example"] = "127.0.0.1"
            opened(url, policy).ping()
            stands_at["db.cluster.example"] = "127.0.0.2"
            with pytest.raises(SourceDeniedError, match=r"db\.cluster\.example"):
                opened(url, policy, connect_s_max=3).ping()
        assert server.connections
    assert not inner.was_dialled()
    inner.close()
