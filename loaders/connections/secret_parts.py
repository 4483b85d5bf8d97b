"""Which parts of an address are secret, how they are masked, and how a mask becomes the secret again.

A mask stands for the secret that is kept, and only towards where that secret goes already: who may change a connection
must not be able to have its password sent to a host of their own.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from loaders.connections.urls import DatabaseUrl, parse_url
from loaders.provider import Address, Provider

MASK = "***"
HIDDEN_CHARACTERS_MIN = 4
"""Shorter secrets are not looked for in messages: they are parts of words."""

SECRET_FIELDS: Mapping[Provider, frozenset[str]] = {
    Provider.BIGQUERY: frozenset({"private_key"}),
    Provider.SNOWFLAKE: frozenset({"password", "private_key", "private_key_passphrase"}),
}

_SECRET_PARAMETER = re.compile(r"pass|pwd|secret|token|key|credential|properties")


class MaskError(ValueError):
    """A mask that stands for nothing here; the message says what to send."""


def masked(address: Address) -> dict[str, Any]:
    """Give what may be told of an address: `{"url"}` or `{"credentials"}`."""
    if address.url:
        return {"url": mask_url(parse_url(address.provider, address.url)).text}
    secret = SECRET_FIELDS[address.provider]
    shown = {name: MASK if name in secret else value for name, value in address.credentials.items()}
    return {"credentials": shown}


def mask_url(url: DatabaseUrl) -> DatabaseUrl:
    """Put masks in the place of a URL's password and of secret parameters."""
    parameters = [(name, MASK if _is_secret(name) and value else value) for name, value in url.parameters]
    return url.having(password=MASK if url.password else url.password, parameters=parameters)


def unmask_url(url: DatabaseUrl, kept: DatabaseUrl | None) -> DatabaseUrl:
    """Put the secrets that are kept in the place of masks, and of a password that is left out.

    Raises:
        MaskError: there is nothing to put there, or it would go elsewhere.
    """
    masks = url.password == MASK or any(_is_secret(name) and value == MASK for name, value in url.parameters)
    same = kept is not None and _goes_to(url) == _goes_to(kept)
    if not same:
        if masks and kept is not None:
            raise _goes_elsewhere(MASK, "the user, the host or a parameter is another")
        if masks:
            raise _no_secret(MASK)
        return url
    assert kept is not None
    secrets = dict(kept.parameters)
    parameters = []
    for name, value in url.parameters:
        if _is_secret(name) and value == MASK and name not in secrets:
            raise MaskError(f"the parameter {name} is {MASK}, and none is kept: send its value")
        parameters.append((name, secrets[name] if _is_secret(name) and value == MASK else value))
    if url.password == MASK and not kept.password:
        raise _no_secret(f"the password {MASK}")
    password = kept.password if url.password in {MASK, None} else url.password
    return url.having(password=password, parameters=parameters)


def unmask_credentials(
    provider: Provider, sent: Mapping[str, Any], kept: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """Put the secrets that are kept in the place of masks, and of all of them where none is sent.

    Raises:
        MaskError: there is nothing to put there, or it would go elsewhere.
    """
    names = SECRET_FIELDS[provider]
    asked = {name for name in names if sent.get(name) == MASK}
    if kept is not None and not names & sent.keys():
        asked = {name for name in names if name in kept}
    if not asked:
        return sent
    if kept is None:
        raise _no_secret(", ".join(sorted(asked)))
    changed = [name for name in _TARGET[provider] if sent.get(name) != kept.get(name)]
    if changed:
        raise _goes_elsewhere(", ".join(sorted(asked)), f"{', '.join(changed)} changed")
    missing = asked - kept.keys()
    if missing:
        raise MaskError(f"{', '.join(sorted(missing))} is {MASK}, and none is kept: send its value")
    return {**sent, **{name: kept[name] for name in asked}}


def hide_secrets(message: str, address: Address) -> str:
    """Take the secrets of an address out of words that somebody else's program said."""
    for secret in sorted(_secrets(address), key=len, reverse=True):
        if len(secret) >= HIDDEN_CHARACTERS_MIN:
            message = message.replace(secret, MASK)
    return message


_TARGET: Mapping[Provider, tuple[str, ...]] = {
    Provider.BIGQUERY: ("client_email", "token_uri", "api_endpoint", "universe_domain"),
    Provider.SNOWFLAKE: ("account", "user", "host", "port", "protocol"),
}
"""Fields that say where secrets go, and whose they are."""


def _goes_to(url: DatabaseUrl) -> tuple[Any, ...]:
    """Give all of a URL but its secrets and its database: parameters too may lead elsewhere, or take the lock off."""
    plain = sorted((name, value) for name, value in url.parameters if not _is_secret(name))
    return url.scheme, url.user, url.hosts.lower(), plain


def _is_secret(parameter: str) -> bool:
    return _SECRET_PARAMETER.search(unquote(parameter).lower()) is not None


def _secrets(address: Address) -> Iterator[str]:
    for name in SECRET_FIELDS.get(address.provider, ()):
        value = address.credentials.get(name)
        if isinstance(value, str):
            yield value
    if address.url:
        url = parse_url(address.provider, address.url)
        raw = [url.password or "", *(value for name, value in url.parameters if _is_secret(name))]
        for value in raw:
            yield from {value, unquote(value)}


def _no_secret(what: str) -> MaskError:
    return MaskError(f"{what} is the mask that is shown in place of a secret: send the secret itself")


def _goes_elsewhere(what: str, changed: str) -> MaskError:
    return MaskError(
        f"{what}: the secret that is kept is not sent to where it did not go before, and {changed}: "
        "send the secret again with this change"
    )
