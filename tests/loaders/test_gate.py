"""A driver behind the gate reaches only what the operator's policy lets it."""

import ipaddress
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
import urllib3

from loaders.errors import SourceDeniedError, SourceUnavailableError
from loaders.gate import Gate
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits

LIMITS = SourceLimits(connect_s_max=60, idle_s_max=60)
DENIED = [ipaddress.ip_network(one) for one in ("10.0.0.0/8", "169.254.0.0/16", "127.0.0.2/32", "::1/128")]
LOOPBACK = HostPolicy(deny=("localhost", *DENIED))


class Echo(BaseHTTPRequestHandler):
    """Gives back what it was sent, or sends elsewhere."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, f"{self.path} {self.headers.get('Proxy-Authorization')} ".encode() + body)

    def do_GET(self):
        self._answer(302, b"", Location="http://localhost:1/metadata")

    def _answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def echo():
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def gate():
    opened = Gate(LOOPBACK, LIMITS)
    yield opened
    opened.close()


def session(gate):
    through = requests.Session()
    through.trust_env = False
    through.proxies = {"http": gate.url, "https": gate.url}
    return through


def test_plain_http_goes_through_and_the_gates_password_stays(gate, echo):
    for body in (b"a", b"x" * 1_000_000):
        answer = session(gate).post(f"http://127.0.0.1:{echo}/path?q=1", data=body)
        assert answer.content == b"/path?q=1 None " + body


def test_a_tunnel_carries_both_ways(gate, echo):
    with socket.create_connection(("127.0.0.1", gate.port)) as tunnel:
        tunnel.sendall(f"CONNECT 127.0.0.1:{echo} HTTP/1.1\r\n".encode())
        tunnel.sendall(b"Proxy-Authorization: Basic " + gate._expected + b"\r\n\r\n")
        assert b"200" in tunnel.recv(1000)
        tunnel.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        assert tunnel.makefile("rb").read().endswith(b"hi")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["localhost", "10.1.2.3", "169.254.169.254", "127.0.0.2", "[::1]"])
def test_what_the_policy_refuses_is_not_reached_and_says_why(gate, scheme, host):
    try:
        assert session(gate).get(f"{scheme}://{host}:1/").status_code == 403
    except requests.exceptions.ProxyError as error:
        assert "403" in str(error)  # noqa: PT017 - a tunnel that is refused raises, a plain request does not.
    assert isinstance(gate.refused, SourceDeniedError)


def test_where_a_server_sends_to_is_judged_too(gate, echo):
    assert session(gate).get(f"http://127.0.0.1:{echo}/").status_code == 403
    assert "localhost" in str(gate.refused)


def test_a_host_that_does_not_answer_is_told(gate):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert session(gate).get(f"http://127.0.0.1:{free.getsockname()[1]}/").status_code == 503
    assert isinstance(gate.refused, SourceUnavailableError)


def test_nobody_else_gets_in(gate, echo):
    stranger = gate.url.replace(gate.password, "x")
    url = f"http://127.0.0.1:{echo}/"
    assert requests.get(url, proxies={"http": stranger}).status_code == 407
    assert requests.get(url, proxies={"http": f"http://127.0.0.1:{gate.port}"}).status_code == 407


class Rebinding:
    """Judges a name well once, and then it is another's."""

    def __init__(self):
        self.answers = iter(["127.0.0.1", "169.254.169.254"])

    def pinned(self, _host, _port):
        return [next(self.answers)]


def test_a_name_is_resolved_once(echo):
    gate = Gate(Rebinding(), LIMITS)
    for _ in range(3):
        assert session(gate).post(f"http://usage.example:{echo}/", data=b"").status_code == 200
    gate.close()


@pytest.fixture(scope="module")
def secure_echo(tmp_path_factory):
    """The same over TLS, under the name usage.example; gives its port and the certificate to trust."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=usage.example"]
    command += ["-addext", "subjectAltName=DNS:usage.example", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], str(folder / "certificate.pem")
        server.shutdown()


class Here:
    """Knows every name, and all are here."""

    def pinned(self, _host, _port):
        return ["127.0.0.1"]


def test_tls_is_between_the_driver_and_the_host_and_by_its_name(secure_echo):
    """The gate pins the address and sees nothing: the certificate is judged by the name that the driver knows."""
    port, trusted = secure_echo
    gate = Gate(Here(), LIMITS)
    answer = session(gate).post(f"https://usage.example:{port}/path", data=b"x" * 100_000, verify=trusted)
    assert answer.content == b"/path None " + b"x" * 100_000
    with pytest.raises(requests.exceptions.SSLError):
        session(gate).post(f"https://other.example:{port}/path", data=b"x", verify=trusted)
    gate.close()


def test_closing_cuts_off_what_goes_through(gate):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asked = threading.Event()

        def close():
            with silent.accept()[0]:
                asked.set()
                gate.close()

        threading.Thread(target=close, daemon=True).start()
        with pytest.raises((requests.exceptions.ConnectionError, urllib3.exceptions.ProtocolError)):
            session(gate).get(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=120)
        assert asked.is_set()


def test_a_silent_host_is_cut_off():
    gate = Gate(HostPolicy(), SourceLimits(idle_s_max=0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(requests.exceptions.ConnectionError):
        session(gate).get(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=120)
    gate.close()
