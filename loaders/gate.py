"""A door for drivers with networks of their own: each host that they name is judged, and pinned, before it is reached.

Such a driver resolves names itself, follows what a server names (redirects, addresses of parts of a result), and cannot
be told to connect to an address that was judged. But it can be told to use a proxy. This is one, on the loopback, for
one source: it opens TLS tunnels and passes on plain HTTP, and lets nobody else in.
"""

import base64
import contextlib
import secrets
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from loaders.errors import SourceDeniedError, SourceError, SourceUnavailableError
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits

HEAD_BYTES_MAX = 64 * 1024
CHUNK_BYTES = 256 * 1024
CONNECTIONS_MAX = 64
ANSWER_BYTES_MAX = 512 * 1024 * 1024
"""What a host may send without being asked again; a driver may hold all of it in memory."""


class Gate:
    """One listening socket and a thread for each connection; closed by `close`, and with it all that goes through it.

    A host that stays silent for `SourceLimits.idle_s_max` is cut off.
    """

    def __init__(self, policy: HostPolicy, limits: SourceLimits) -> None:
        self._policy = policy
        self._limits = limits
        self.user = "meterline"
        self.password = secrets.token_urlsafe(24)
        self._expected = base64.b64encode(f"{self.user}:{self.password}".encode())
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS_MAX)
        self.port: int = self._listener.getsockname()[1]
        self.refusals: dict[str, SourceError] = {}
        """Why hosts were not reached, by name: a driver's own words would be of a proxy that nobody knows."""
        self._pinned: dict[tuple[str, int], str] = {}
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._places = threading.Semaphore(CONNECTIONS_MAX)
        self._closed = False
        threading.Thread(target=self._listen, name="gate", daemon=True).start()

    @property
    def url(self) -> str:
        """Give the proxy's address with its password."""
        return f"http://{self.user}:{self.password}@127.0.0.1:{self.port}"

    @property
    def refused(self) -> SourceError | None:
        """Give why any of the hosts was not reached, if one was not."""
        return next(iter(self.refusals.values()), None)

    def close(self) -> None:
        """Cut off all connections and take no more; may be called twice and from any thread."""
        with self._lock:
            self._closed = True
            left = [*self._open, self._listener]
        for one in left:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            if one is self._listener:
                one.close()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._places.acquire()
            threading.Thread(target=self._serve, args=(client,), name="gate", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        upstream = None
        try:
            with self._kept(client):
                client.settimeout(self._limits.idle_s_max)
                head, rest = _head(client)
                if head is None:
                    return
                method, target, authorized = _asked(head, self._expected)
                if not authorized:
                    client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                    return
                host, port = _target(method, target)
                try:
                    upstream = self._connect(host, port)
                except SourceError as error:
                    self.refusals[host] = error
                    status = b"403 Forbidden" if isinstance(error, SourceDeniedError) else b"503 Service Unavailable"
                    client.sendall(b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
                    return
                with self._kept(upstream):
                    if method == "CONNECT":
                        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                        upstream.sendall(rest)
                        self._pump(client, upstream)
                    else:
                        upstream.sendall(_as_sent_to_a_server(head) + rest)
                        self._pump(client, upstream, answer_head=b"")
        except (OSError, ValueError):
            return
        finally:
            self._places.release()

    @contextlib.contextmanager
    def _kept(self, connection: socket.socket) -> Iterator[None]:
        """Close a connection at the end; until then `close` knows of it."""
        with self._lock:
            if self._closed:
                connection.close()
                raise OSError
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _connect(self, host: str, port: int) -> socket.socket:
        address = self._pinned.get((host, port))
        found = [address] if address else self._policy.pinned(host, port)
        error: OSError | None = None
        for one in found:
            try:
                upstream = socket.create_connection((one, port), timeout=self._limits.connect_s_max)
            except OSError as caught:
                error = caught
                continue
            self._pinned[host, port] = one
            upstream.settimeout(self._limits.idle_s_max)
            upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return upstream
        raise SourceUnavailableError(f"{host}:{port} does not answer: {error}")

    def _pump(self, client: socket.socket, upstream: socket.socket, answer_head: bytes | None = None) -> None:
        """Carry bytes until one of the two ends; with `answer_head`, what was read of it, the answer is the last."""
        poll = select.poll()
        other = {client.fileno(): (client, upstream), upstream.fileno(): (upstream, client)}
        for descriptor in other:
            poll.register(descriptor, select.POLLIN)
        answered = 0
        while True:
            ready = poll.poll(self._limits.idle_s_max * 1000)
            if not ready:
                return
            for descriptor, _ in ready:
                source, sink = other[descriptor]
                data = source.recv(CHUNK_BYTES)
                answered = answered + len(data) if source is upstream else 0
                if not data or answered > ANSWER_BYTES_MAX:
                    return
                if source is upstream and answer_head is not None:
                    answer_head += data
                    if b"\r\n\r\n" not in answer_head and len(answer_head) <= HEAD_BYTES_MAX:
                        continue
                    data, answer_head = _as_the_last(answer_head), None
                sink.sendall(data)


def _head(client: socket.socket) -> tuple[bytes | None, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(CHUNK_BYTES)
        if not more or len(data) > HEAD_BYTES_MAX:
            return None, b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _asked(head: bytes, expected: bytes) -> tuple[str, str, bool]:
    first, *lines = head.split(b"\r\n")
    method, target, _ = first.decode("ascii").split(" ")
    authorized = any(
        name.strip().lower() == b"proxy-authorization"
        and secrets.compare_digest(value.strip().rpartition(b" ")[2], expected)
        for name, _, value in (line.partition(b":") for line in lines)
    )
    return method, target, authorized


def _target(method: str, target: str) -> tuple[str, int]:
    parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
    if not parts.hostname or parts.scheme not in {"", "http"}:
        raise ValueError(target)
    return parts.hostname, parts.port or (443 if method == "CONNECT" else 80)


def _as_sent_to_a_server(head: bytes) -> bytes:
    """Give a request's head as a server takes it, for one request: connections are not kept for another host's."""
    first, *lines = head.split(b"\r\n")
    method, target, version = first.split(b" ")
    parts = urlsplit(target.decode("ascii"))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return b"\r\n".join([b" ".join([method, path.encode(), version]), *_ending(lines), b"", b""])


def _as_the_last(answer: bytes) -> bytes:
    """Give an answer with word of it that the connection ends with it."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    return b"\r\n".join([first, *_ending(lines), b"", rest])


def _ending(lines: Sequence[bytes]) -> list[bytes]:
    dropped = (b"proxy-", b"connection:", b"keep-alive:")
    return [*(line for line in lines if not line.lower().startswith(dropped)), b"Connection: close"]
