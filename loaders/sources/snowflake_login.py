"""From a connection's credentials to what Snowflake's driver is told: nothing of a user's reaches it unread.

A password or a private key lets in, and nothing else does: no browser, no token of another service, no file of this
machine. The driver keeps no tokens on disk, reads no configuration of its own, sends no telemetry and asks no
certificate authority for lists; all it reaches, it reaches through the gate.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from loaders.errors import SourceDeniedError
from loaders.gate import Gate
from loaders.limits import SourceLimits

_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,100}(\.[A-Za-z0-9][A-Za-z0-9_-]{0,60}){0,3}")
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
_NAMES = ("warehouse", "database", "schema", "role")
_SECRETS = ("password", "private_key", "private_key_passphrase")
_KNOWN = {*_NAMES, *_SECRETS, "account", "user", "host", "port", "protocol"}
PRIVILEGED_ROLES = frozenset({"ACCOUNTADMIN", "SECURITYADMIN", "SYSADMIN", "USERADMIN", "ORGADMIN", "GLOBALORGADMIN"})


@dataclass(frozen=True, slots=True)
class Login:
    """Credentials that were read and found whole."""

    account: str
    user: str
    secret: Mapping[str, Any] = field(repr=False)
    host: str = ""
    port: int = 443
    protocol: str = "https"
    names: Mapping[str, str] = field(default_factory=dict)

    def options(self, gate: Gate, limits: SourceLimits) -> dict[str, Any]:
        """Give what the driver's `connect` takes."""
        connect_s, idle_s = math.ceil(limits.connect_s_max), math.ceil(limits.idle_s_max)
        statement_s = math.ceil(limits.statement_s_max)
        reached = {"host": self.host, "port": self.port, "protocol": self.protocol} if self.host else {}
        return {
            "account": self.account,
            "user": self.user,
            **self.secret,
            **reached,
            **self.names,
            "application": "Meterline",
            "secondary_roles": "NONE",  # The rights of the one role that was looked at, not of all the user's.
            "paramstyle": "qmark",
            "arrow_number_to_decimal": True,
            "force_microsecond_precision": True,
            "proxy_host": "127.0.0.1",
            "proxy_port": gate.port,
            "proxy_user": gate.user,
            "proxy_password": gate.password,
            "no_proxy": "",
            "use_proxy_env": False,
            "client_store_temporary_credential": False,
            "crl_check_mode": "DISABLED",
            "auto_cleanup": False,
            "server_session_keep_alive": False,
            "enable_server_session_keep_alive_auto_detection": False,
            "logout_request_timeout_seconds": connect_s,
            "logout_total_timeout_seconds": connect_s,
            "logout_max_attempts": 1,
            "connect_timeout": connect_s,
            "login_timeout": connect_s,
            "request_timeout": idle_s,
            "retry_timeout": idle_s,
            "query_timeout": statement_s + idle_s,
            "retry_max_attempts": 4,
            "retry_backoff_cap_ms": 2000,
            "session_parameters": {
                "CLIENT_TELEMETRY_ENABLED": False,
                "CLIENT_PREFETCH_THREADS": 1,  # What is fetched ahead is held in memory.
                "CLIENT_RESULT_CHUNK_SIZE": 16,
                "MULTI_STATEMENT_COUNT": 1,
                "QUERY_TAG": "meterline",
                "STATEMENT_TIMEOUT_IN_SECONDS": statement_s,
                "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS": statement_s,
                "TIMEZONE": "UTC",
            },
        }


def read_login(credentials: Mapping[str, Any]) -> Login:
    """Read and check credentials.

    Raises:
        SourceDeniedError: a field is missing, unknown or cannot be; the message names it.
    """
    unknown = sorted(set(credentials) - _KNOWN)
    if unknown:
        raise SourceDeniedError(f"credentials.{unknown[0]} is not taken; these are: {', '.join(sorted(_KNOWN))}")
    account = _text(credentials, "account", required=True)
    if not _ACCOUNT.fullmatch(account):
        raise SourceDeniedError(
            f"credentials.account is {account!r}: give the part before .snowflakecomputing.com, such as "
            "myorg-myaccount or xy12345.eu-central-1"
        )
    host = _text(credentials, "host")
    if host and not _HOST.fullmatch(host):
        raise SourceDeniedError(f"credentials.host is {host!r}: give a host's name alone, without scheme or path")
    protocol = credentials.get("protocol") or "https"
    if protocol not in {"https", "http"}:
        raise SourceDeniedError(f"credentials.protocol is {protocol!r}: it can be https or http")
    port = credentials.get("port", "")
    if port in {None, ""}:
        port = 443 if protocol == "https" else 80
    if isinstance(port, str) and port.isdecimal():
        port = int(port)
    if not isinstance(port, int) or not 1 <= port <= 65_535:
        raise SourceDeniedError(f"credentials.port is {port!r}: it can be 1 to 65535")
    if not host and (protocol == "http" or credentials.get("port")):
        raise SourceDeniedError("credentials.port and credentials.protocol go with credentials.host: give it too")
    user = _text(credentials, "user", required=True)
    names = {name: text for name in _NAMES if (text := _text(credentials, name))}
    return Login(account, user, _secret(credentials), host, port, protocol, names)


def _secret(credentials: Mapping[str, Any]) -> dict[str, Any]:
    password, pem = _text(credentials, "password"), _text(credentials, "private_key")
    if bool(password) == bool(pem):
        raise SourceDeniedError("credentials: give one of password and private_key")
    if password:
        return {"password": password}
    passphrase = _text(credentials, "private_key_passphrase")
    try:
        key = serialization.load_pem_private_key(pem.encode(), passphrase.encode() if passphrase else None)
        held = key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SourceDeniedError(
            "credentials.private_key cannot be read: give the key's own text in PEM, which begins with -----BEGIN, and "
            "private_key_passphrase when it is encrypted"
        ) from None
    return {"private_key": held, "authenticator": "SNOWFLAKE_JWT"}


def _text(credentials: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    value = credentials.get(name)
    if value is None or value == "":
        if required:
            raise SourceDeniedError(f"credentials.{name} is missing")
        return ""
    if not isinstance(value, str):
        raise SourceDeniedError(f"credentials.{name} has to be text")
    if name not in _SECRETS and (len(value) > 255 or not value.isprintable()):
        raise SourceDeniedError(f"credentials.{name} has to be text of at most 255 characters, without control ones")
    return value
