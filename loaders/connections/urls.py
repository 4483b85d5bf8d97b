"""The URL of a database, in its parts as they were written: `scheme://user:password@host:port/database?parameters`.

Read strictly, because drivers disagree about what is odd: whatever two programs could read in two ways is refused, so
that what is masked and checked here is what is connected to. No message holds a part that could be of a password.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from loaders.provider import Provider

SCHEMES = {
    Provider.POSTGRES: ("postgres", "postgresql"),
    Provider.MYSQL: ("mysql",),
    Provider.MONGODB: ("mongodb", "mongodb+srv"),
}
CHARACTERS_MAX = 4_000
HOSTS_MAX = 20

_ENCODE = "in a password write / as %2F, ? as %3F, # as %23, @ as %40, % as %25"
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:(?P<user>[^:@/?]*)(?::(?P<password>[^@/?]*))?@)?"
    r"(?P<hosts>[^@/?]*)(?P<path>/[^@?]*)?(?:\?(?P<query>[^@?]*))?"
)
_NAME = re.compile(r"(?!-)[\w-]{1,63}(?:\.[\w-]{1,63})*\.?")
_ELSEWHERE = frozenset({"host", "hostaddr", "port", "user", "password", "dbname", "service", "servicefile", "passfile"})
"""What would say once more, or otherwise, what stands before the `?`."""


class UrlError(ValueError):
    """The URL cannot be used; the message says what to write."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A URL in its parts, each as it was written. No user, no password: None, which is not the empty text."""

    scheme: str
    user: str | None
    password: str | None = field(repr=False)
    hosts: str
    path: str
    parameters: Sequence[tuple[str, str]] = field(repr=False)

    @property
    def text(self) -> str:
        """Give it as one text, secrets and all."""
        login = "" if self.user is None else self.user + ("" if self.password is None else f":{self.password}") + "@"
        query = "&".join(f"{name}={value}" for name, value in self.parameters)
        return f"{self.scheme}://{login}{self.hosts}{self.path}{f'?{query}' if query else ''}"

    def having(self, *, password: str | None, parameters: Sequence[tuple[str, str]]) -> "DatabaseUrl":
        """Give the same with another password and other parameters."""
        return replace(self, password=password, parameters=tuple(parameters))


def parse_url(provider: Provider, text: str) -> DatabaseUrl:
    """Read the URL of a database of this provider.

    Raises:
        UrlError: it cannot be used.
    """
    schemes = SCHEMES[provider]
    written = " or ".join(f"{scheme}://" for scheme in schemes)
    if len(text) > CHARACTERS_MAX:
        raise UrlError(f"has {len(text)} characters, {CHARACTERS_MAX} are the most")
    if re.search(r"[\s\x00-\x20\x7f\\#]", text):
        raise UrlError(f"holds a space, a line break, a backslash or a #: {_ENCODE}, a space as %20")
    scheme = text.partition("://")[0].lower()
    if scheme not in schemes:
        sent = f"this begins with {scheme}://" if re.fullmatch(r"[a-z0-9+.-]{1,20}", scheme) and "://" in text else ""
        raise UrlError(f"must begin with {written}{f', {sent}' if sent else ''}")
    match = _URL.fullmatch(text)
    if match is None:
        raise UrlError(f"must be {schemes[0]}://user:password@host/database: {_ENCODE}")
    url = DatabaseUrl(
        scheme,
        match["user"],
        match["password"],
        match["hosts"],
        match["path"] or "",
        tuple(_parameters(match["query"] or "")),
    )
    _check_encoding(url)
    _check_hosts(provider, url)
    _check_parameters(provider, url)
    return url


def _parameters(query: str) -> Sequence[tuple[str, str]]:
    pairs = [one.partition("=") for one in query.split("&")] if query else []
    if any(not name or not separator or "=" in value for name, separator, value in pairs):
        raise UrlError("has a parameter that is not one name=value: write ?name=value&name=value, = in a value as %3D")
    return [(name, value) for name, _, value in pairs]


def _check_encoding(url: DatabaseUrl) -> None:
    for part in (url.user, url.password, url.path, *(text for pair in url.parameters for text in pair)):
        if part and re.search(r"%(?![0-9A-Fa-f]{2})", part):
            raise UrlError(f"has a % that no two hexadecimal digits follow: {_ENCODE}")
        if part and re.search(r"[\[\]]", part):
            raise UrlError("holds a [ or ] beside the host: write [ as %5B, ] as %5D")
        if part and re.search(r"[\x00-\x1f\x7f\ufffd]", unquote(part)):
            raise UrlError("holds an encoded control character or bytes that are no UTF-8")
    if url.user == "" or (url.user is None and url.password is not None):
        raise UrlError("has a password and no user: write user:password@host")


def _check_hosts(provider: Provider, url: DatabaseUrl) -> None:
    hosts = url.hosts.split(",")
    if hosts == [""]:
        raise UrlError("names no host: write it after the @, as in user:password@db.example.com/database")
    if len(hosts) > (1 if provider is Provider.MYSQL or url.scheme == "mongodb+srv" else HOSTS_MAX):
        raise UrlError(f"names {len(hosts)} hosts, which are too many here")
    for host in hosts:
        name, port = _host(host)
        if not name or (port and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65_535)):
            raise UrlError(
                "must have host or host:port after the @, an IPv6 address in brackets, the port from 1 to 65535: "
                + _ENCODE
            )
        if url.scheme == "mongodb+srv" and port:
            raise UrlError("must not have a port with mongodb+srv://, which looks it up")


def _host(text: str) -> tuple[str, str]:
    """Give host and port; no host where it is none."""
    if text.startswith("["):
        address, closed, rest = text[1:].partition("]")
        try:
            ipaddress.IPv6Address(address)
        except ValueError:
            return "", ""
        return (address, rest[1:]) if closed and (not rest or (rest.startswith(":") and rest[1:])) else ("", "")
    name, separator, port = text.partition(":")
    if separator and not port:
        return "", ""
    return (name, port) if _NAME.fullmatch(name) else ("", "")


def _check_parameters(provider: Provider, url: DatabaseUrl) -> None:
    names = [unquote(name) for name, _ in url.parameters]
    if len(set(names)) != len(names) and provider is not Provider.MONGODB:  # It has lists of `readPreferenceTags`.
        raise UrlError("has a parameter twice: send each once")
    odd = sorted(_ELSEWHERE.intersection(names)) if provider is not Provider.MONGODB else []
    if odd:
        raise UrlError(
            f"must not have the parameter {odd[0]}: write user, password, host, port and database before the ?"
        )
