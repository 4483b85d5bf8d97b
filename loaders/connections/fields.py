"""What a connection is over HTTP: how its fields are checked, provider by provider, and the object that comes back."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from loaders.connections.registry import StoredConnection
from loaders.connections.secret_parts import MASK, MaskError, unmask_credentials, unmask_url
from loaders.connections.urls import CHARACTERS_MAX, UrlError, parse_url
from loaders.provider import URL_PROVIDERS, Address, Provider
from metering.http.fields import Fields
from metering.http.shapes import (
    INSTANT,
    INTEGER,
    NAME,
    OPTIONAL_INSTANT,
    OPTIONAL_NAME,
    OPTIONAL_TEXT,
    TEXT,
    Shape,
    array_of,
    bounded,
    described,
    nullable,
    object_of,
    one_of,
    request_of,
)
from metering.timestamps import format_instant

KEY_CHARACTERS_MAX = 20_000
SECRET_CHARACTERS_MAX = 1_000
BYTES_BILLED_MAX = 1 << 60
_OURS_OF_BIGQUERY = ("project", "location")
"""Who pays, and where the data are; beside what stands in the key's file."""

_ACCOUNT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,253}[A-Za-z0-9])?")
_HOST = re.compile(r"[\w.:\[\]-]{1,253}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body sets; None where it leaves something as it is."""

    name: str | None
    address: Address | None = field(repr=False)


def read_connection(
    body: Mapping[str, Any], current: StoredConnection | None = None, kept: Callable[[], Address] | None = None
) -> Asked:
    """Give what a body sets: of a new connection, or of `current`. `kept` opens the address that it has.

    Raises:
        ApiError: 400 with every fault; none holds a secret.
        SecretError: a mask stands for a secret that does not open.
    """
    fields = Fields(body)
    name = fields.name("name", required=current is None)
    provider = fields.choice("provider", Provider, required=current is None)
    if current is not None:
        if provider not in {None, current.provider}:
            another = f"{provider} cannot take the place of {current.provider}: create another connection"
            fields.fault("provider", "unchangeable", another)
        provider = current.provider
    address = None if provider is None else _address(fields, provider, kept)
    if address is None and current is None and not fields.faults:
        fields.fault(_way(provider), "required", _needed(provider))
    fields.refuse_faults()
    return Asked(name, address)


def connection_object(stored: StoredConnection) -> dict[str, Any]:
    """Give the connection as it goes out, its secrets masked."""
    return {
        "id": stored.id,
        "provider": stored.provider.value,
        "name": stored.name,
        "url": stored.shown.get("url"),
        "credentials": stored.shown.get("credentials"),
        "warnings": list(stored.warnings),
        "pinged_at": None if stored.pinged_at is None else format_instant(stored.pinged_at),
        "created_at": format_instant(stored.created_at),
        "updated_at": format_instant(stored.updated_at),
    }


def _way(provider: Provider | None) -> str:
    return "url" if provider in URL_PROVIDERS else "credentials"


def _needed(provider: Provider | None) -> str:
    if provider in URL_PROVIDERS:
        return "is needed: send it as scheme://user:password@host/database"
    return "is needed: send an object"


def _address(fields: Fields, provider: Provider, kept: Callable[[], Address] | None) -> Address | None:
    """Read where the database is, None where that is not sent or wrong."""
    way = _way(provider)
    other = "credentials" if way == "url" else "url"
    if fields.raw(other) is not None and fields.raw(way) is None:
        fields.fault(other, "unknown", f"{provider} is reached by {way}: send that instead")
        return None
    try:
        return _by_url(fields, provider, kept) if way == "url" else _by_credentials(fields, provider, kept)
    except UrlError as error:
        fields.fault("url", "url", str(error))
    except MaskError as error:
        fields.fault(way, "masked", str(error))
    return None


def _by_url(fields: Fields, provider: Provider, kept: Callable[[], Address] | None) -> Address | None:
    text = fields.text("url", characters_max=CHARACTERS_MAX)
    if text is None:
        return None
    url = parse_url(provider, text.strip())
    # A password that is left out is looked for too: a URL without any is sent where the database asks for none.
    needs_kept = kept is not None and (MASK in text or url.password is None)
    before = parse_url(provider, kept().url) if needs_kept and kept is not None else None
    return Address(provider, url=unmask_url(url, before).text)


def _by_credentials(fields: Fields, provider: Provider, kept: Callable[[], Address] | None) -> Address | None:
    reader = fields.object("credentials")
    if reader is None:
        return None
    faults = len(fields.faults)
    sent = _READERS[provider](reader)
    sent = {name: value for name, value in sent.items() if value is not None}
    if len(fields.faults) > faults:
        return None
    secrets = [name for name in _SECRETS_ONE_OF[provider] if name in sent]
    needs_kept = kept is not None and (not secrets or MASK in [sent[name] for name in secrets])
    filled = unmask_credentials(provider, sent, kept().credentials if needs_kept and kept is not None else None)
    if not any(name in filled for name in _SECRETS_ONE_OF[provider]):
        reader.fault(_SECRETS_ONE_OF[provider][0], "required", "is needed" + _OR[provider])
        return None
    return Address(provider, credentials=filled)


_SECRETS_ONE_OF: Mapping[Provider, tuple[str, ...]] = {
    Provider.BIGQUERY: ("private_key",),
    Provider.SNOWFLAKE: ("password", "private_key"),
}
_OR = {
    Provider.BIGQUERY: ": send the whole file of the service account's key",
    Provider.SNOWFLAKE: ", or private_key for a key pair: send one of them",
}


def _bigquery(fields: Fields) -> dict[str, Any]:
    kind = fields.name("type")
    if kind not in {None, "service_account"}:
        message = f"{kind[:40]!r} is not read here: send the key file of a service account" if kind else ""
        fields.fault("type", "unknown_value", message)
    return {
        "type": kind,
        "project_id": fields.name("project_id", required=True),
        "client_email": fields.name("client_email", required=True),
        "private_key": _key(fields, "private_key"),
        **{name: fields.name(name) for name in ("private_key_id", "client_id", "universe_domain", *_OURS_OF_BIGQUERY)},
        **{name: _http_url(fields, name) for name in ("token_uri", "api_endpoint")},
        "maximum_bytes_billed": fields.integer("maximum_bytes_billed", least=1, most=BYTES_BILLED_MAX),
    }


def _snowflake(fields: Fields) -> dict[str, Any]:
    account = fields.name("account", required=True)
    if account is not None and not _ACCOUNT.fullmatch(account):
        message = f"{account[:60]!r} is no account identifier: write organization-account, or locator.region.cloud"
        fields.fault("account", "format", message)
    host = fields.name("host")
    if host is not None and not _HOST.fullmatch(host):
        fields.fault("host", "format", f"{host[:60]!r} is no host: write a name without https:// and path")
    protocol = fields.name("protocol")
    if protocol not in {None, "http", "https"}:
        fields.fault("protocol", "unknown_value", "must be https or http")
    return {
        "account": account,
        "user": fields.name("user", required=True),
        "password": fields.text("password", characters_max=SECRET_CHARACTERS_MAX) or None,
        "private_key": _key(fields, "private_key"),
        "private_key_passphrase": fields.text("private_key_passphrase", characters_max=SECRET_CHARACTERS_MAX) or None,
        "warehouse": fields.name("warehouse", required=True),
        "database": fields.name("database", required=True),
        **{name: fields.name(name) for name in ("schema", "role")},
        "host": host,
        "port": fields.integer("port", least=1, most=65_535),
        "protocol": protocol,
    }


def _key(fields: Fields, name: str) -> str | None:
    """Read a private key in PEM form, or the mask of one."""
    text = fields.text(name, characters_max=KEY_CHARACTERS_MAX)
    if not text:
        return None
    if text != MASK and "-----BEGIN" not in text:
        fields.fault(name, "format", "must be a private key in PEM form, which begins with -----BEGIN")
        return None
    return text


def _http_url(fields: Fields, name: str) -> str | None:
    text = fields.name(name)
    if text is not None and not re.fullmatch(r"https?://[\w.:\[\]-]{1,253}(?:/[\w./-]*)?", text):
        fields.fault(name, "url", f"{text[:80]!r} is no address: write https://host or https://host/path")
        return None
    return text


_READERS: Mapping[Provider, Callable[[Fields], dict[str, Any]]] = {
    Provider.BIGQUERY: _bigquery,
    Provider.SNOWFLAKE: _snowflake,
}

_URL: Shape = {"type": "string", "minLength": 1, "maxLength": CHARACTERS_MAX}
_HELP = (
    "postgres, mysql, mongodb: postgres://user:password@host:5432/database. On the way out its secrets are ***, and "
    "sent back as *** they stay as they are, as long as nothing that says where they go is changed."
)
_CREDENTIALS = (
    "bigquery: the service account's key file; project, location, maximum_bytes_billed, api_endpoint where they are "
    "other than usual. snowflake: account, user, "
    "password or private_key (and private_key_passphrase), warehouse, database, schema, role, host, port, protocol."
)
_SECRET: Shape = {**OPTIONAL_TEXT, "maxLength": SECRET_CHARACTERS_MAX}
_CREDENTIAL_FIELDS: Mapping[str, Shape] = {
    **dict.fromkeys(("type", "project_id", "client_email", "private_key_id", "client_id"), OPTIONAL_NAME),
    **dict.fromkeys(("universe_domain", "token_uri", "api_endpoint", *_OURS_OF_BIGQUERY), OPTIONAL_NAME),
    "maximum_bytes_billed": nullable(bounded(INTEGER, 1, BYTES_BILLED_MAX)),
    **dict.fromkeys(("account", "user", "warehouse", "database", "schema", "role", "host"), OPTIONAL_NAME),
    "protocol": one_of(("https", "http"), optional=True),
    "port": nullable(bounded(INTEGER, 1, 65_535)),
    **dict.fromkeys(("password", "private_key_passphrase"), _SECRET),
    "private_key": {**OPTIONAL_TEXT, "maxLength": KEY_CHARACTERS_MAX},
}
_SENT: Mapping[str, Shape] = {
    "provider": one_of([provider.value for provider in Provider]),
    "name": NAME,
    "url": described(_URL, _HELP),
    "credentials": described(object_of(_CREDENTIAL_FIELDS, title="Credentials", required=()), _CREDENTIALS),
}
NEW_CONNECTION_BODY: Shape = request_of(_SENT, title="NewConnection", required=("provider", "name"))
CONNECTION_BODY: Shape = request_of(_SENT, title="ConnectionFields")
CONNECTION: Shape = object_of(
    {
        "id": TEXT,
        "provider": _SENT["provider"],
        "name": NAME,
        "url": described(OPTIONAL_TEXT, _HELP),
        "credentials": nullable(_SENT["credentials"]),
        "warnings": described(array_of(TEXT), "What works and should not be so, such as a user that may write."),
        "pinged_at": OPTIONAL_INSTANT,
        "created_at": INSTANT,
        "updated_at": INSTANT,
    },
    title="Connection",
)
