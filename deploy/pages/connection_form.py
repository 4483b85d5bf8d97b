"""The form of a connection, a provider at a time: its fields, what was typed as the API takes it, and its faults.

Passwords and keys are never written into a page, not even those that were just typed; a URL is, for its typos.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.pages.price_form import Beside, as_number, beside
from loaders.connections.registry import StoredConnection
from loaders.provider import URL_PROVIDERS, Provider
from metering.http.problem import ApiError, Fault, invalid_field


@dataclass(frozen=True, slots=True)
class FormField:
    """One field; `kind`: `text`, `password` or `area`. `rare` ones stand behind a summary."""

    name: str
    label: str
    hint: str = ""
    kind: str = "text"
    rare: bool = False

    @property
    def is_secret(self) -> bool:
        """Tell whether it is never shown again."""
        return self.name in _SECRET


@dataclass(frozen=True, slots=True)
class ProviderForm:
    """What a provider is called, its fields, and what is good to know before."""

    title: str
    fields: Sequence[FormField]
    help: Sequence[str]
    example: str = ""


_A_NUMBER = "maximum_bytes_billed"
_BESIDE_THE_FILE = frozenset({"project", "location", "api_endpoint", _A_NUMBER})
_SECRET = frozenset({"password", "private_key", "private_key_passphrase", "key_file"})

FORMS: Mapping[Provider, ProviderForm] = {
    Provider.POSTGRES: ProviderForm(
        "PostgreSQL",
        [FormField("url", "URL", "postgres://reader:password@db.example.com:5432/database?sslmode=require")],
        [
            "Use a replica where there is one, and a user that may only read what is to be pulled:",
            "In a password write / as %2F, @ as %40, ? as %3F, # as %23, % as %25.",
        ],
        "CREATE ROLE reader LOGIN PASSWORD '…';\nGRANT USAGE ON SCHEMA public TO reader;\n"
        "GRANT SELECT ON api_calls TO reader;",
    ),
    Provider.MYSQL: ProviderForm(
        "MySQL, MariaDB",
        [FormField("url", "URL", "mysql://reader:password@db.example.com:3306/database")],
        [
            "Use a replica where there is one, and a user that may only read what is to be pulled:",
            "In a password write / as %2F, @ as %40, ? as %3F, # as %23, % as %25.",
        ],
        "CREATE USER reader@'%' IDENTIFIED BY '…';\nGRANT SELECT ON shop.api_calls TO reader@'%';",
    ),
    Provider.MONGODB: ProviderForm(
        "MongoDB",
        [FormField("url", "URL", "mongodb+srv://reader:password@cluster.example.com/database")],
        [
            "A user with the role read on the database is enough.",
            "Options may follow the database: ?replicaSet=rs0&readPreference=secondaryPreferred.",
        ],
    ),
    Provider.BIGQUERY: ProviderForm(
        "BigQuery",
        [
            FormField("key_file", "Key file of the service account", '{"type": "service_account", …}', "area"),
            FormField("project", "Project that pays, where it is another", rare=True),
            FormField("location", "Location", "EU", rare=True),
            FormField("maximum_bytes_billed", "Bytes that one query may bill", rare=True),
            FormField("api_endpoint", "Address of the API", "https://bigquery.googleapis.com", rare=True),
        ],
        [
            "Paste the whole file.",
            "The service account needs the roles BigQuery Job User, and BigQuery Data Viewer on the data sets.",
        ],
    ),
    Provider.SNOWFLAKE: ProviderForm(
        "Snowflake",
        [
            FormField("account", "Account", "organization-account"),
            FormField("user", "User"),
            FormField("password", "Password", kind="password"),
            FormField("private_key", "Or a private key, in PEM form", "-----BEGIN PRIVATE KEY-----", "area"),
            FormField("warehouse", "Warehouse"),
            FormField("database", "Database"),
            FormField("schema", "Schema", "PUBLIC"),
            FormField("role", "Role"),
            FormField("private_key_passphrase", "Passphrase of the private key", kind="password", rare=True),
            FormField("host", "Host, where it is another", rare=True),
            FormField("port", "Port", rare=True),
            FormField("protocol", "Protocol", "https", rare=True),
        ],
        ["A role with USAGE on the warehouse, the database and the schema, and SELECT on the tables, is enough."],
    ),
}


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in a form."""

    provider: Provider
    name: str
    fields: Mapping[str, str] = field(repr=False)

    @property
    def form(self) -> ProviderForm:
        """Give the form of its provider."""
        return FORMS[self.provider]

    def shown(self) -> Mapping[str, str]:
        """Give what is written into the page again."""
        return {one.name: "" if one.is_secret else self.fields.get(one.name, "") for one in self.form.fields}

    def document(self, kept: StoredConnection | None) -> dict[str, Any]:
        """Give the request as the API takes it; secrets that are left out stay as they are kept.

        Raises:
            ApiError: 400 for a key file that is no JSON.
        """
        document: dict[str, Any] = {"provider": self.provider.value, "name": self.name or None}
        given: dict[str, Any] = {name: text.replace("\r\n", "\n") for name, text in self.fields.items() if text}
        if self.provider in URL_PROVIDERS:
            return {**document, **given}
        if self.provider is Provider.BIGQUERY:
            return {**document, "credentials": _service_account(given, kept)}
        if "port" in given:
            given["port"] = as_number(given["port"])
        return {**document, "credentials": given}

    def beside(self, error: ApiError) -> Beside:
        """Put what is wrong beside its fields."""
        faults = [Fault(fault.code, self._field_of(fault.path), fault.message) for fault in error.faults]
        return beside(faults, error.message, {"name", *(one.name for one in self.form.fields)}, {})

    def _field_of(self, path: Sequence[str | int]) -> Sequence[str | int]:
        """Name the field that holds what the API found at a path."""
        inner = path[1:] if path[:1] == ("credentials",) else path
        in_file = inner != path and self.provider is Provider.BIGQUERY and inner[0] not in _BESIDE_THE_FILE
        return ("key_file",) if in_file else inner or path


def typed(provider: Provider, sent: Mapping[str, str]) -> Typed:
    """Give what a form says."""
    return Typed(provider, sent.get("name", ""), {one.name: sent.get(one.name, "") for one in FORMS[provider].fields})


def as_kept(stored: StoredConnection) -> Typed:
    """Give a form as a connection fills it."""
    shown = {"url": stored.shown["url"]} if "url" in stored.shown else stored.shown["credentials"]
    return Typed(stored.provider, stored.name, {name: str(value) for name, value in shown.items()})


def _service_account(given: Mapping[str, str], kept: StoredConnection | None) -> dict[str, Any]:
    others = {
        name: as_number(given[name]) if name == _A_NUMBER else given[name] for name in given.keys() & _BESIDE_THE_FILE
    }
    if "key_file" not in given:
        before = {} if kept is None else kept.shown["credentials"]
        return {**{name: value for name, value in before.items() if name not in _BESIDE_THE_FILE}, **others}
    try:
        found = json.loads(given["key_file"])
    except ValueError as error:
        raise invalid_field("key_file", "json", f"key_file: is no JSON ({error}): paste the whole file") from None
    if not isinstance(found, dict):
        raise invalid_field("key_file", "type", "key_file: is no JSON object: paste the whole file")
    return {**found, **others}
