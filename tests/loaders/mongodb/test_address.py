"""A URL says where the user's server is, and nothing that concerns ours."""

import pytest
from pymongo import MongoClient

from loaders.errors import SourceDeniedError
from loaders.sources.mongodb.address import read_address

SECRET = "s3cr3t"


def test_a_url_is_read():
    """Several hosts, with their ports or the usual one."""
    found = read_address("mongodb://u:p%40ss@a.example,b.example:27018,[::1]:5/shop?replicaSet=rs0&authSource=admin")
    assert found.database == "shop"
    assert list(found.seeds) == [("a.example", 27017), ("b.example", 27018), ("::1", 5)]
    assert found.options == {"replicaset", "authsource"}
    assert "p%40ss" not in repr(found)


def test_what_sets_limits_or_is_of_writing_is_left_aside():
    """As it stands in the URLs that providers hand out."""
    asked = "retryWrites=true&w=majority&appName=x&socketTimeoutMS=0&maxPoolSize=1000&compressors=zlib&timeoutMS=0"
    found = read_address(f"mongodb://u:{SECRET}@cluster.example/shop?{asked}")
    assert found.url == f"mongodb://u:{SECRET}@cluster.example/shop?appName=x"


def test_hosts_that_the_name_system_knows_are_not_in_the_url():
    """They are judged where they are dialled."""
    assert list(read_address("mongodb+srv://cluster.example/shop").seeds) == []


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ("tlsCAFile=/etc/passwd", "tlsCAFile"),
        ("tlsCertificateKeyFile=/etc/passwd", "tlsCertificateKeyFile"),
        ("tlscertificatekeyfile=/etc/passwd", "tlscertificatekeyfile"),
        ("tlsCRLFile=/etc/passwd", "tlsCRLFile"),
        ("authMechanism=MONGODB-AWS", "MONGODB-AWS"),
        ("authMechanism=GSSAPI", "GSSAPI"),
        ("authMechanism=MONGODB-OIDC", "MONGODB-OIDC"),
        ("authMechanism=MONGODB-X509", "MONGODB-X509"),
        ("authMechanism=PLAIN", "PLAIN"),
        ("authMechanismProperties=ENVIRONMENT:k8s", "authMechanismProperties"),
        ("srvAllowedHostsSuffix=example", "srvAllowedHostsSuffix"),
        ("proxyHost=10.0.0.1", "not known"),
        ("autoEncryption=1", "not known"),
        ("unicode_decode_error_handler=ignore", "unicode_decode_error_handler"),
        ("server_api=1", "server_api"),
    ],
)
def test_what_concerns_our_machine_or_other_hosts_is_refused(asked, word):
    """By its name."""
    with pytest.raises(SourceDeniedError, match=word):
        read_address(f"mongodb://u:{SECRET}@a.example/shop?{asked}")


@pytest.mark.parametrize(
    "asked",
    ["tls=yes", "tls=true&tls=false", "tls=true&ssl=false", "readPreference=nobody", "maxStalenessSeconds=x", "tls"],
)
def test_an_option_that_cannot_be_read_is_refused_and_not_left_out(asked):
    """Or a misspelt word would turn TLS off."""
    with pytest.raises(SourceDeniedError, match="option"):
        read_address(f"mongodb://u:{SECRET}@a.example/shop?{asked}")


@pytest.mark.parametrize(
    ("url", "asks_nobody"),
    [
        ("mongodb://a.example/shop", False),
        ("mongodb://a.example/shop?tls=true", True),
        ("mongodb://a.example/shop?ssl=true", True),
        ("mongodb+srv://a.example/shop", True),
        ("mongodb+srv://a.example/shop?tls=false", False),
        ("mongodb://a.example/shop?tls=true&tlsInsecure=true", False),
    ],
)
def test_no_host_is_asked_that_a_certificate_names(url, asks_nobody):
    """The driver takes what comes out, without a word of warning."""
    found = read_address(url)
    assert ("tlsDisableOCSPEndpointCheck=true" in found.url) is asks_nobody
    MongoClient(found.url, connect=False).close()


@pytest.mark.parametrize(
    "url",
    [
        f"postgres://u:{SECRET}@a/shop",
        f"mongodb://u:{SECRET}@a.example",
        f"mongodb://u:{SECRET}@a.example/",
        f"mongodb://u:{SECRET}@a.example/admin",
        f"mongodb://u:{SECRET}@a.example/local",
        f"mongodb://u:{SECRET}@a.example/%61dmin",
        f"mongodb://u:{SECRET}@a.example/a.b",
        f"mongodb://u:@{SECRET}@a.example/shop",
        f"mongodb://u:{SECRET}:x@a.example/shop",
        f"mongodb://u:%{SECRET}@a.example/shop",
        f"mongodb://u:/{SECRET}@a.example/shop",
        f"mongodb://u:?{SECRET}@a.example/shop",
        f"mongodb://u:x?{SECRET}=1@a.example/shop",
        f"mongodb://u:{SECRET}/shop",
        f"mongodb://u:{SECRET}@/shop",
        f"mongodb://u:{SECRET}@a.example:x/shop",
        f"mongodb://u:{SECRET}@a.example:99999/shop",
        f"mongodb://u:{SECRET}@%2Ftmp%2Fmongodb-27017.sock/shop",
        f"mongodb://u:{SECRET}@mongodb.sock/shop",
        f"mongodb://u:{SECRET}@[a.example]/shop",
        f"mongodb+srv://u:{SECRET}@a.example:27017/shop",
        f"mongodb+srv://u:{SECRET}@a.example,b.example/shop",
        f"mongodb://u:{SECRET}@a.example,/shop",
    ],
)
def test_what_is_no_url_is_refused_without_its_password(url):
    """Wherever in a malformed one it stands."""
    with pytest.raises(SourceDeniedError) as refused:
        read_address(url)
    assert SECRET not in str(refused.value)
