"""TLS to real servers, whose certificate an authority of ours has signed for `localhost`."""

import contextlib
import os
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from loaders.errors import SourceDeniedError
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.provider import Address, Provider
from loaders.sources import mysql, postgres
from tests.peers.mariadb.server import UNPRIVILEGED, MariaDb
from tests.peers.postgres.server import Postgres

pytestmark = pytest.mark.slow


def _certificate(name, key, issuer, issuer_key, *, authority):
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder with an authority's certificate, and a server's with its key."""
    folder = tmp_path_factory.mktemp("certificates")
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("Authority", authority_key, "Authority", authority_key, authority=True)
    server = _certificate("localhost", key, "Authority", authority_key, authority=False)
    (folder / "authority.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (folder / "server.pem").write_bytes(server.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder


def _lent(certificates, folder):
    """Give a server its certificate and its key, as its own files."""
    for name in ("server.pem", "server.key"):
        (folder / name).write_bytes((certificates / name).read_bytes())
        (folder / name).chmod(0o600)
        if os.getuid() == 0:
            os.chown(folder / name, UNPRIVILEGED, UNPRIVILEGED)


@pytest.fixture(scope="module")
def servers(certificates):
    """The URL of each, with `localhost` as its host."""
    with Postgres() as server:
        _lent(certificates, server.folder / "data")
        for setting in ("ssl_cert_file = 'server.pem'", "ssl_key_file = 'server.key'", "ssl = on"):
            server.run(f"ALTER SYSTEM SET {setting}")
        server.run("SELECT pg_reload_conf()", "CREATE ROLE plain LOGIN")
        other = MariaDb()
        _lent(certificates, other.folder)
        other.options = (f"--ssl-cert={other.folder}/server.pem", f"--ssl-key={other.folder}/server.key")
        with other:
            other.run("CREATE DATABASE d")
            urls = {Provider.POSTGRES: server.url(), Provider.MYSQL: other.url("d")}
            yield {provider: url.replace("127.0.0.1", "localhost") for provider, url in urls.items()}


BOTH = pytest.mark.parametrize("provider", [Provider.POSTGRES, Provider.MYSQL])
ENCRYPTED = {
    Provider.POSTGRES: "SELECT ssl FROM pg_stat_ssl_of_mine",
    Provider.MYSQL: "SELECT variable_value <> '' FROM information_schema.session_status"
    " WHERE variable_name = 'Ssl_version'",
}


def _opened(servers, provider, mode):
    url = f"{servers[provider]}?sslmode={mode}"
    return contextlib.closing(open_source(Address(provider, url), HostPolicy(), SourceLimits()))


@pytest.fixture(autouse=True)
def _view(servers):
    """The guard refuses the system's own table of connections: a view stands for it."""
    view = "CREATE OR REPLACE VIEW pg_stat_ssl_of_mine AS SELECT ssl::int FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    with psycopg.connect(servers[Provider.POSTGRES], autocommit=True) as connection:
        connection.execute(view)


@BOTH
@pytest.mark.parametrize(("mode", "encrypted"), [("disable", "0"), ("prefer", "1"), ("require", "1")])
def test_a_mode_is_kept(servers, provider, mode, encrypted):
    """Encrypted or not, as the server itself sees it."""
    with _opened(servers, provider, mode) as source:
        (page,) = source.pages(ENCRYPTED[provider], {}, page_rows_max=10)
    assert page.cells == [[encrypted]]


@BOTH
def test_many_rows_come_through_it(servers, provider):
    """What TLS keeps back in its own buffer is waited for by nobody."""
    series = {Provider.POSTGRES: "generate_series(1, 100000) AS seq", Provider.MYSQL: "seq_1_to_100000"}[provider]
    with _opened(servers, provider, "require") as source:
        pages = source.pages(f"SELECT seq, 'a text of some length' FROM {series}", {}, page_rows_max=5000)
        assert [int(cell) for page in pages for cell in page.cells[0]] == list(range(1, 100_001))


@BOTH
def test_a_certificate_of_an_unknown_authority_is_refused(servers, provider):
    """By those that this machine trusts."""
    with (
        _opened(servers, provider, "verify-full") as source,
        pytest.raises(SourceDeniedError, match=r"(?i)certificate"),
    ):
        source.ping()


@BOTH
def test_a_certificate_is_verified_for_the_name_and_not_the_address(servers, provider, certificates, monkeypatch):
    """The name is kept, though an address is connected to that was looked up before; an address itself is not in it."""
    for module in (postgres, mysql):
        monkeypatch.setattr(module, "authorities_file", lambda: str(certificates / "authority.pem"))
    with _opened(servers, provider, "verify-full") as source:
        assert source.now().tzinfo is not None
    by_address = {provider: servers[provider].replace("localhost", "127.0.0.1")}
    with _opened(by_address, provider, "verify-full") as source, pytest.raises(SourceDeniedError):
        source.ping()
    with _opened(by_address, provider, "verify-ca") as source:
        assert source.now().tzinfo is not None
