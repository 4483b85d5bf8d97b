"""From a `mongodb://` URL to what the driver is told: options that concern the user's server, none that concern ours.

An option that would read our disk, ask other hosts for a way in or start a program is refused; one that sets limits,
which are ours to set, is left aside; and one that is not known is refused, so that a driver's next version brings none.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlencode

from pymongo.common import URI_OPTIONS_VALIDATOR_MAP
from pymongo.errors import PyMongoError
from pymongo.uri_parser_shared import split_options

from loaders.errors import SourceDeniedError

PORT = 27017
SRV = "mongodb+srv://"
PLAIN = "mongodb://"

KEPT = frozenset(
    {
        "appname",
        "authmechanism",
        "authsource",
        "directconnection",
        "loadbalanced",
        "localthresholdms",
        "maxstalenessseconds",
        "readconcernlevel",
        "readpreference",
        "readpreferencetags",
        "replicaset",
        "srvmaxhosts",
        "srvservicename",
        "ssl",
        "tls",
        "tlsallowinvalidcertificates",
        "tlsallowinvalidhostnames",
        "tlsinsecure",
    }
)
IGNORED = frozenset(
    {
        "compressors",
        "connecttimeoutms",
        "fsync",
        "heartbeatfrequencyms",
        "journal",
        "maxconnecting",
        "maxidletimems",
        "maxpoolsize",
        "minpoolsize",
        "retryreads",
        "retrywrites",
        "servermonitoringmode",
        "serverselectiontimeoutms",
        "sockettimeoutms",
        "timeoutms",
        "uuidrepresentation",
        "w",
        "waitqueuetimeoutms",
        "wtimeoutms",
        "zlibcompressionlevel",
    }
)
"""Of writing, which is not done, and limits, which are ours. They stand in the URLs that providers hand out."""
MECHANISMS = frozenset({"DEFAULT", "SCRAM-SHA-1", "SCRAM-SHA-256"})
"""Passwords that are not sent. The others read files, ask hosts of a cloud, or send the password as it is."""
_KNOWN = frozenset(name.lower() for name in URI_OPTIONS_VALIDATOR_MAP)
SYSTEM_DATABASES = frozenset({"admin", "local", "config"})


@dataclass(frozen=True, slots=True)
class MongoAddress:
    """What a URL says; `url` has the password and the options that were kept."""

    url: str = field(repr=False)
    database: str
    seeds: Sequence[tuple[str, int]]
    """Hosts and ports; none where the name system is to be asked for them (`mongodb+srv`)."""
    options: frozenset[str]
    """Names of the options that were kept, in lower case."""


def read_address(url: str) -> MongoAddress:
    """Read a URL; the message of a refusal has nothing of the password, which may be anywhere in a malformed one.

    Raises:
        SourceDeniedError: it is none, or it has an option that is not for its user to set.
    """
    scheme = next((one for one in (SRV, PLAIN) if url.startswith(one)), None)
    if scheme is None:
        raise SourceDeniedError("the URL does not begin with mongodb:// or mongodb+srv://")
    place, _, asked = url.removeprefix(scheme).partition("?")
    authority, _, path = place.partition("/")
    login, _, hosts = authority.rpartition("@")
    if "@" in login or login.count(":") > 1 or not _is_quoted(login):
        raise SourceDeniedError("the URL's user or password has a character that must be written as %XX: @ : / ? # %")
    database = unquote(path)
    if not database:
        raise SourceDeniedError(
            "the URL names no database: put it after the hosts, such as mongodb://user:password@host:27017/shop "
            "(and add ?authSource=admin if the user was made in admin)"
        )
    if database in SYSTEM_DATABASES:
        raise SourceDeniedError(f"the URL names the database {database}, which is none of users' data")
    if any(one in database for one in '/\\. "$*<>:|?@\0'):
        raise SourceDeniedError("the URL names a database with a character that no database's name has")
    seeds = [_seed(one) for one in hosts.split(",")] if scheme == PLAIN else []
    if scheme == SRV and (not hosts or any(one in hosts for one in ",:%")):
        raise SourceDeniedError("a mongodb+srv:// URL has one host name and no port")
    options = _options(asked)
    if _is_checked(options, scheme):
        # A certificate may name a host to ask whether it still holds, and who made it chose that host.
        options.append(("tlsDisableOCSPEndpointCheck", "true"))
    kept = f"{scheme}{authority}/{path}" + (f"?{urlencode(options)}" if options else "")
    return MongoAddress(kept, database, seeds, frozenset(name.lower() for name, _ in options))


def _is_quoted(text: str) -> bool:
    return all(len(part) >= 2 and set(part[:2].lower()) <= set("0123456789abcdef") for part in text.split("%")[1:])


def _seed(written: str) -> tuple[str, int]:
    host, port = written, ""
    if written.startswith("["):
        host, _, rest = written[1:].partition("]")
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise SourceDeniedError("the URL has a host in brackets that is no IPv6 address") from None
        port = rest.removeprefix(":")
    elif ":" in written:
        host, _, port = written.partition(":")
    if not host or "%" in host or host.endswith(".sock"):
        raise SourceDeniedError("the URL has a host that is none: it takes host names, each with a port or without")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise SourceDeniedError("the URL has a port that is none: it takes a number from 1 to 65535")
    return host, int(port or PORT)


def _options(asked: str) -> list[tuple[str, str]]:
    kept: list[tuple[str, str]] = []
    for name, value in parse_qsl(asked.replace(";", "&"), keep_blank_values=True):
        option = name.lower()
        if option in IGNORED:
            continue
        if option not in KEPT:
            # A name that the driver does not have may be the rest of a password.
            said = (
                f"the option {name}, which may not be set here" if option in _KNOWN else "an option that is not known"
            )
            raise SourceDeniedError(f"the URL has {said}: leave it out (a ? in a password is written as %3F)")
        if option == "authmechanism" and value not in MECHANISMS:
            raise SourceDeniedError(
                f"the URL's authMechanism may not be {value[:32]!r} here: it takes {', '.join(sorted(MECHANISMS))}"
            )
        if any(option == one.lower() for one, _ in kept) and option != "readpreferencetags":
            raise SourceDeniedError(f"the URL has the option {name} twice: say it once")
        kept.append((name, value))
    try:  # By itself, the driver leaves out what it cannot read: a misspelt tls=yes would be no TLS.
        if kept:
            split_options(urlencode(kept), validate=True, warn=False)
    except (PyMongoError, TypeError, ValueError) as error:
        raise SourceDeniedError(f"the URL's options cannot be used: {error}") from None
    return kept


def _is_checked(options: Sequence[tuple[str, str]], scheme: str) -> bool:
    """Tell whether the server's certificate is checked."""
    found = {name.lower(): value for name, value in options}
    secure = found.get("tls", found.get("ssl", "true" if scheme == SRV else "false"))
    return secure == "true" and found.keys().isdisjoint(
        {"tlsinsecure", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames"}
    )
