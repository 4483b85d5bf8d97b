"""Take apart the URL of a database, and nothing of it that could make a driver open a file of ours."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from loaders.errors import SourceDeniedError


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """`scheme://user:password@host:port/database?option=value`; the password is never printed."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    options: Mapping[str, str]

    def without_password(self, message: str) -> str:
        """Blank the password wherever a driver or a server has put it into a message."""
        return message.replace(self.password, "***") if self.password else message


def database_url(
    url: str, *, schemes: Collection[str], port: int, options: Mapping[str, Collection[str]], example: str
) -> DatabaseUrl:
    """Take a URL apart. `options` gives what may come after the `?`, with the values that each may have.

    Raises:
        SourceDeniedError: a part is missing or not allowed; the message names it, and never the password.
    """
    try:
        parts = urlsplit(url.strip())
        found_port, host = parts.port, parts.hostname
    except ValueError:
        raise SourceDeniedError(f"the URL cannot be read: write {example}, special characters as %40") from None
    if parts.scheme.lower() not in schemes:
        raise SourceDeniedError(f"the URL begins with {parts.scheme[:20] or 'nothing'}://: write {example}")
    host = unquote(host or "")
    if not host or any(mark in host for mark in "/\\,@ \0"):
        raise SourceDeniedError(f"the URL needs one host name or address, and no socket or list: write {example}")
    user, password, database = (unquote(one or "") for one in (parts.username, parts.password, parts.path[1:]))
    if not user:
        raise SourceDeniedError(f"the URL names no user: write {example}")
    if any(not one.isprintable() for one in (user, password, database)):
        raise SourceDeniedError("the URL holds a control character in the user, the password or the database")
    if parts.fragment or "/" in database:
        raise SourceDeniedError(
            "the URL has more after the database's name: write / and # in a password as %2F and %23"
        )
    return DatabaseUrl(host, found_port or port, user, password, database, _options(parts.query, options))


def _options(query: str, allowed: Mapping[str, Collection[str]]) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in allowed:
            known = ", ".join(sorted(allowed))
            raise SourceDeniedError(f"the URL's option {name[:40]} is not allowed: leave it out; there are {known}")
        if value not in allowed[name] or name in options:
            known = ", ".join(allowed[name])
            raise SourceDeniedError(f"the URL's option {name} can be one of {known}")
        options[name] = value
    return options
