"""Whatever answers at the address, it is an error for the user and nothing else: no hang, no exception of a driver."""

import contextlib
import socket
import threading

import pytest

from loaders.errors import SourceDeniedError, SourceError, SourceUnavailableError
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.provider import Address, Provider

ANSWERS = {
    "nothing": b"",
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "zeros": b"\0" * 64,
    "a short packet": b"\x02\x00\x00\x00\x0a5",
    "a greeting cut short": b"\x4a\x00\x00\x00\x0a8.4.3\0" + b"\x01" * 20,
    "an odd greeting": b"\x20\x00\x00\x00\x0anot a version\0" + b"\xff" * 17,
    "ones": b"\xff" * 600,
    "an error of MySQL": b"\x17\x00\x00\x00\xff\x15\x04#28000Access denied",
    "an error of PostgreSQL": b"E\x00\x00\x00\x2fSFATAL\0C28P01\0Mpassword authentication failed\0\0",
    "an unknown message of PostgreSQL": b"R\x00\x00\x00\x08\x00\x00\x00\x63",
}


@contextlib.contextmanager
def answering(answer):
    """A port where every connection is sent this, and then closed."""

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError):
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    connection.settimeout(5)
                    while connection.recv(1000):
                        pass

    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


@pytest.mark.parametrize("answer", list(ANSWERS))
@pytest.mark.parametrize("provider", [Provider.POSTGRES, Provider.MYSQL])
def test_what_is_no_database_is_told_as_such(provider, answer):
    """The password is in no message."""
    with answering(ANSWERS[answer]) as port:
        address = Address(provider, f"{provider}://u:s3cret-w0rd@127.0.0.1:{port}/d")
        source = open_source(address, HostPolicy(), SourceLimits(connect_s_max=5))
        with pytest.raises((SourceUnavailableError, SourceDeniedError)) as told:
            source.ping()
        assert "s3cret-w0rd" not in str(told.value)
        with pytest.raises(SourceError):
            next(source.pages("SELECT 1", {}, page_rows_max=1))
        source.close()
