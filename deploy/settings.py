"""What an operator may set: read from the environment once, here, and handed down as a frozen value.

| variable | meaning | default |
| --- | --- | --- |
| `METERLINE_HOST`, `METERLINE_PORT` | where the one address is | `127.0.0.1`, `8080` |
| `METERLINE_DATA_DIR` | where everything is kept | `./data` |
| `METERLINE_GATEWAY_WORKERS` | gateway processes behind the address | one for each core but one, 1 to 4 |
| `METERLINE_STORE_URL` | the store | chDB in the data folder |
| `METERLINE_REGISTRY_URL` | the registry: `postgresql://user:password@host:5432/database` | SQLite in the data folder |
| `METERLINE_RATE_LIMITS` | `1`: limit the requests of each key | `0` |
| `METERLINE_RATE_INGEST`, `_READS`, `_WRITES` | requests of a key in each window | `1000`, `200`, `50` |
| `METERLINE_RATE_WINDOW_S` | how long a window is | `10` |
| `METERLINE_METRICS_PUBLIC` | `1`: tell `/metrics` to everybody, not to this machine alone | `0` |
| `METERLINE_METRICS_TOKEN` | tell `/metrics` also to who sends `Authorization: Bearer` with this | none |
| `METERLINE_LOG_URL` | the log: `kafka://host:port[,host:port]/topic?partitions=4` | the local log in the data folder |
| `METERLINE_LOG_TLS` | `1`: speak TLS with the brokers | `0`, or `1` with any of the next |
| `METERLINE_LOG_TLS_CA` | PEM file of who may sign their certificates | the system's authorities |
| `METERLINE_LOG_TLS_CERTIFICATE`, `_KEY`, `_KEY_PASSWORD` | PEM files of ours, where they ask for it | none |
| `METERLINE_LOG_SASL_USERNAME`, `_PASSWORD` | who we are to the brokers | nobody |
| `METERLINE_LOG_SASL_MECHANISM` | `SCRAM-SHA-512`, `SCRAM-SHA-256`, or `PLAIN` (over TLS only) | `SCRAM-SHA-512` |
| `METERLINE_LOG_KEEP` | what becomes of the local log once it is applied: `archive`, `all`, `none` | `archive` |
| `METERLINE_LOG_ARCHIVE_DIR` | where the local log is archived | `log-archive` in the data folder |
| `METERLINE_LOG_SEGMENT_MIB` | size of a segment of the local log, the unit that is archived | `256` |
| `METERLINE_SPOOL_DIR` | a folder where events are kept durably while the log does not take them | none: 503 |
| `METERLINE_SPOOL_BYTES_MAX` | bytes of events that may wait there; beyond that 503 | `1073741824` (1 GiB) |
| `METERLINE_ACCEPT_POISON` | `1`: what cannot be understood becomes dead letters, however much | `0`: stand still |
| `OTEL_EXPORTER_OTLP_ENDPOINT`, or `..._TRACES_ENDPOINT` | where traces are sent, OTLP over HTTP | none: no traces |
| `OTEL_TRACES_SAMPLER`, `_ARG` | which requests are traced | `parentbased_always_on` |
| `OTEL_SERVICE_NAME` | what the service is called in traces | `meterline` |
| `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER` | `true`, `none`: no traces all the same | `false`, `otlp` |
| `METERLINE_BOOTSTRAP_API_KEY` | an admin key for the default account, created at start if it is not there | none |
| `METERLINE_STORE_REPLICATED` | `1`: the store's database is of the engine Replicated | `0` |
| `METERLINE_API_URL` | gateways: where the APIs are, `http://host:port[,http://host:port]` | none |
| `METERLINE_INTERNAL_SECRET` | gateways and APIs: what an API lets gateways in by, 32 characters or more | none |
| `METERLINE_ROLLUPS` | `0`: read all usage from the events, keep nothing per quarter of an hour | `1` |
| `METERLINE_IMPORTS_DIR` | APIs: where uploaded files wait; APIs may share it | `imports` in the data folder |
| `METERLINE_LOADERS` | `0`: `meterline up` runs no dataloaders | `1` |
| `METERLINE_LOADERS_AT_ONCE` | runs of dataloaders at once, of each process | `2` |
| `METERLINE_LOADERS_OF_CONNECTION` | runs at once over one connection, of all processes | `1` |
| `METERLINE_LOADERS_STATEMENT_S` | seconds that the query of a run may take | `3600` |
| `METERLINE_LOADERS_ROWS_MAX` | rows that one run may read: 13 bytes of memory each | `50000000` |
| `METERLINE_LOADERS_DIR` | where a run puts what must not fill the memory | `loaders` in the data folder |
| `METERLINE_SECRETS_KEY` | keys that passwords of connections are kept with: `id:base64`, the newest first | the file |
| `METERLINE_SECRETS_KEY_FILE` | a file of such keys, one a line | `secrets.key` in the data folder |
| `METERLINE_SOURCES_PRIVATE` | `0`: connections reach the public internet alone, not this network | `1` |
| `METERLINE_SOURCES_ALLOW` | networks and names that they reach all the same: `10.0.0.0/8,.example.com` | none |
| `METERLINE_SOURCES_DENY` | networks and names that they do not reach, unless those are allowed | none |

`meterline up` is all of it on one machine; `meterline gateway`, `consumer`, `api` and `loaders` are its parts apart.
What a part needs is checked when it starts: `deploy/roles.py`.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.loader_settings import LoaderSettings
from deploy.trace_settings import SAMPLER_DEFAULT, SAMPLERS, TraceSettings
from ingest.log.archive.keeper import Keep
from ingest.log.kafka.address import KafkaAddress
from ingest.log.kafka.security import MECHANISMS, KafkaSecurity
from ingest.log.local.writer import SEGMENT_BYTES
from loaders.hosts import HostPolicy, IpNetwork, parse_listed
from loaders.secrets.errors import KeysError
from loaders.secrets.key_file import NAME as KEY_FILE
from loaders.secrets.keys import GivenKeys, KeyFile, Keyring, NoKeys, parse_keys
from metering.http.rate_limits import RateLimits
from metering.registry.address import parse_address

GATEWAY_WORKERS_MAX = 64
STORE_SCHEMES = ("chdb://", "http://", "https://")
SECRET_CHARACTERS_MIN = 32
SECRET_CHARACTERS_MAX = 256
RATE_MAX = 1_000_000_000
RATE_WINDOW_S_MAX = 3600
SEGMENT_MIB_MAX = 4096
SPOOL_BYTES_DEFAULT = 1 << 30
SPOOL_BYTES_MIN = 1 << 20
SPOOL_BYTES_MAX = 1 << 50
LISTED_MAX = 1_000
KEY_VARIABLES = frozenset({"METERLINE_SECRETS_KEY", "METERLINE_SECRETS_KEY_FILE"})
LOADERS_MAX = 64
STATEMENT_S_MAX = 86_400
LOADED_ROWS_MAX = 1_000_000_000

_API_URL = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_SECRET = re.compile(r"[A-Za-z0-9_-]+")

_SHARE = re.compile(r"0|1|1\.0*|0?\.[0-9]+", re.ASCII)


class SettingError(ValueError):
    """A variable does not say what it should; the message names it, its value and the remedy."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One installation. Paths are absolute."""

    host: str
    port: int
    data_dir: Path
    gateway_workers: int
    store_url: str = field(repr=False)
    registry_url: str = field(repr=False)
    log_url: str
    """Empty for the local log."""
    bootstrap_api_key: str | None = field(repr=False)
    rate_limits: RateLimits | None = None
    metrics_public: bool = False
    log_keep: Keep = Keep.ARCHIVE
    log_archive_dir: Path = Path()
    log_segment_bytes: int = SEGMENT_BYTES
    spool_dir: Path | None = None
    spool_bytes_max: int = SPOOL_BYTES_DEFAULT
    accept_poison: bool = False
    metrics_token: str = field(default="", repr=False)
    store_replicated: bool = False
    api_urls: tuple[str, ...] = ()
    internal_secret: str = field(default="", repr=False)
    imports_dir: Path = Path()
    given: frozenset[str] = frozenset()
    """The variables that are set, whatever they say."""
    traces: TraceSettings | None = None
    rollups: bool = True
    loaders: LoaderSettings = field(default_factory=LoaderSettings)

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def log_dir(self) -> Path:
        """Where the local log lies."""
        return self.data_dir / "log"


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the environment.

    Raises:
        SettingError: a variable is not usable.
    """
    env = os.environ if environment is None else environment
    data_dir = Path(env.get("METERLINE_DATA_DIR") or "data").expanduser().resolve()
    log_url = _log_url(env, data_dir)
    read_keyring(data_dir, env)  # Each process that needs these two reads them again.
    read_source_policy(env)
    store_url = env.get("METERLINE_STORE_URL") or f"chdb://{data_dir / 'store'}"
    if not store_url.startswith(STORE_SCHEMES):
        raise SettingError(
            f"METERLINE_STORE_URL={_scheme(store_url)}: write http://user:password@host:8123/database, or https, or "
            "chdb:///absolute/path"
        )
    return Settings(
        host=env.get("METERLINE_HOST") or "127.0.0.1",
        port=_whole(env, "METERLINE_PORT", 8080, 0, 65_535),
        data_dir=data_dir,
        gateway_workers=_whole(env, "METERLINE_GATEWAY_WORKERS", _default_workers(), 1, GATEWAY_WORKERS_MAX),
        store_url=store_url,
        registry_url=_registry_url(env.get("METERLINE_REGISTRY_URL") or "", data_dir),
        log_url=log_url,
        bootstrap_api_key=env.get("METERLINE_BOOTSTRAP_API_KEY") or None,
        rate_limits=_rate_limits(env),
        metrics_public=bool(_whole(env, "METERLINE_METRICS_PUBLIC", 0, 0, 1)),
        log_keep=_keep(env.get("METERLINE_LOG_KEEP") or Keep.ARCHIVE),
        log_archive_dir=_archive_dir(env.get("METERLINE_LOG_ARCHIVE_DIR"), data_dir),
        log_segment_bytes=1024 * 1024 * _whole(env, "METERLINE_LOG_SEGMENT_MIB", 256, 1, SEGMENT_MIB_MAX),
        spool_dir=Path(spool_dir).expanduser().resolve() if (spool_dir := env.get("METERLINE_SPOOL_DIR")) else None,
        spool_bytes_max=_whole(env, "METERLINE_SPOOL_BYTES_MAX", SPOOL_BYTES_DEFAULT, SPOOL_BYTES_MIN, SPOOL_BYTES_MAX),
        accept_poison=bool(_whole(env, "METERLINE_ACCEPT_POISON", 0, 0, 1)),
        metrics_token=_secret(env, "METERLINE_METRICS_TOKEN"),
        store_replicated=bool(_whole(env, "METERLINE_STORE_REPLICATED", 0, 0, 1)),
        api_urls=_api_urls(env.get("METERLINE_API_URL") or ""),
        internal_secret=_secret(env, "METERLINE_INTERNAL_SECRET"),
        imports_dir=Path(env.get("METERLINE_IMPORTS_DIR") or data_dir / "imports").expanduser().resolve(),
        given=frozenset(name for name, value in env.items() if name.startswith("METERLINE_") and value),
        traces=_traces(env),
        rollups=bool(_whole(env, "METERLINE_ROLLUPS", 1, 0, 1)),
        loaders=_loaders(env, data_dir),
    )


def read_keyring(data_dir: Path, environment: Mapping[str, str] | None = None) -> Keyring:
    """Read the keys that passwords of connections are kept with; a file is looked into when a key is needed.

    Raises:
        SettingError: a variable is not usable. No message holds a key.
    """
    env = os.environ if environment is None else environment
    given, file = env.get("METERLINE_SECRETS_KEY") or "", env.get("METERLINE_SECRETS_KEY_FILE") or ""
    if given and file:
        raise SettingError("METERLINE_SECRETS_KEY and METERLINE_SECRETS_KEY_FILE exclude each other: unset one of them")
    if given:
        try:
            return GivenKeys(parse_keys(given, "METERLINE_SECRETS_KEY"), "METERLINE_SECRETS_KEY")
        except KeysError as error:
            raise SettingError(str(error)) from None
    if file:
        return KeyFile(Path(_file(env, "METERLINE_SECRETS_KEY_FILE")).expanduser().resolve())
    if (own := data_dir / KEY_FILE).exists():
        return KeyFile(own)
    return NoKeys(
        "set METERLINE_SECRETS_KEY to id:base64 (`meterline secrets new-key` prints one), the same for all processes"
    )


def read_source_policy(environment: Mapping[str, str] | None = None) -> HostPolicy:
    """Read which hosts connections may reach.

    Raises:
        SettingError: a variable is not usable.
    """
    env = os.environ if environment is None else environment
    return HostPolicy(
        private=bool(_whole(env, "METERLINE_SOURCES_PRIVATE", 1, 0, 1)),
        allow=_listed(env, "METERLINE_SOURCES_ALLOW"),
        deny=_listed(env, "METERLINE_SOURCES_DENY"),
    )


def _listed(env: Mapping[str, str], name: str) -> tuple[IpNetwork | str, ...]:
    texts = [text for text in (env.get(name) or "").replace(",", " ").split() if text]
    if len(texts) > LISTED_MAX:
        raise SettingError(f"{name} has {len(texts)} entries, {LISTED_MAX} are the most: name networks")
    try:
        return tuple(parse_listed(text) for text in texts)
    except ValueError as error:
        raise SettingError(
            f"{name}: {error}; write networks (10.0.0.0/8), addresses, names, or .example.com for all below it, "
            "with commas between"
        ) from None


def _loaders(env: Mapping[str, str], data_dir: Path) -> LoaderSettings:
    usual = LoaderSettings()
    return LoaderSettings(
        on=bool(_whole(env, "METERLINE_LOADERS", 1, 0, 1)),
        at_once_max=_whole(env, "METERLINE_LOADERS_AT_ONCE", usual.at_once_max, 1, LOADERS_MAX),
        of_connection_max=_whole(env, "METERLINE_LOADERS_OF_CONNECTION", usual.of_connection_max, 1, LOADERS_MAX),
        statement_s_max=_whole(env, "METERLINE_LOADERS_STATEMENT_S", usual.statement_s_max, 1, STATEMENT_S_MAX),
        rows_max=_whole(env, "METERLINE_LOADERS_ROWS_MAX", usual.rows_max, 1, LOADED_ROWS_MAX),
        folder=str(Path(env.get("METERLINE_LOADERS_DIR") or data_dir / "loaders").expanduser().resolve()),
    )


def _keep(text: str) -> Keep:
    try:
        return Keep(text)
    except ValueError:
        raise SettingError(f"METERLINE_LOG_KEEP={text!r} must be one of {', '.join(Keep)}") from None


def _archive_dir(text: str | None, data_dir: Path) -> Path:
    folder = Path(text).expanduser().resolve() if text else data_dir / "log-archive"
    if folder in (data_dir, data_dir / "log"):
        raise SettingError(f"METERLINE_LOG_ARCHIVE_DIR={text!r} must be a folder of its own")
    return folder


def require_embedded(settings: Settings, command: str) -> None:
    """Refuse a command that works on the store in the data folder.

    Raises:
        SettingError: the store is a server.
    """
    if not settings.store_url.startswith("chdb://"):
        raise SettingError(
            f"METERLINE_STORE_URL names a server, and `meterline {command}` works on a store of its own: unset it"
        )


def _api_urls(text: str) -> tuple[str, ...]:
    urls = tuple(url.rstrip("/") for url in text.split(",") if url)
    for url in urls:
        if not _API_URL.fullmatch(url):
            raise SettingError(f"METERLINE_API_URL: {url[:100]!r} must be http://host:port, nothing more")
    return urls


def _secret(env: Mapping[str, str], name: str) -> str:
    """Give a secret, whose text is told nowhere; empty when it is not set."""
    text = env.get(name) or ""
    if text and not (SECRET_CHARACTERS_MIN <= len(text) <= SECRET_CHARACTERS_MAX and _SECRET.fullmatch(text)):
        raise SettingError(
            f"{name} must have {SECRET_CHARACTERS_MIN} to {SECRET_CHARACTERS_MAX} letters, digits, `_` or `-`: "
            "make one with `openssl rand -hex 32`"
        )
    return text


def _log_url(env: Mapping[str, str], data_dir: Path) -> str:
    url = env.get("METERLINE_LOG_URL") or ""
    if url in {"", f"local://{data_dir / 'log'}"}:
        return ""
    try:
        KafkaAddress.parse(url)
    except ValueError as error:
        raise SettingError(f"METERLINE_LOG_URL: {error}; or unset it for the log in METERLINE_DATA_DIR") from None
    read_log_security(env)  # Each process reads it again; what is wrong with it is told now.
    return url


def _scheme(url: str) -> str:
    """Name a URL without the password it may carry."""
    return repr(url.partition("://")[0] + "://...")


def _registry_url(url: str, data_dir: Path) -> str:
    if not url:
        return f"sqlite:///{data_dir / 'registry.db'}"
    try:
        parse_address(url)
    except ValueError as error:
        raise SettingError(f"METERLINE_REGISTRY_URL: {error}; or unset it for SQLite in METERLINE_DATA_DIR") from None
    return url


def read_log_security(environment: Mapping[str, str] | None = None) -> KafkaSecurity:
    """Read what secures the connections to Kafka.

    Raises:
        SettingError: a variable is not usable. No message holds a secret.
    """
    env = os.environ if environment is None else environment
    files = {name: _file(env, f"METERLINE_LOG_TLS_{name.upper()}") for name in ("ca", "certificate", "key")}
    if bool(files["certificate"]) != bool(files["key"]):
        raise SettingError("METERLINE_LOG_TLS_CERTIFICATE and METERLINE_LOG_TLS_KEY belong together: set both or none")
    tls = bool(_whole(env, "METERLINE_LOG_TLS", int(any(files.values())), 0, 1))
    if any(files.values()) and not tls:
        raise SettingError("METERLINE_LOG_TLS=0, but METERLINE_LOG_TLS_CA or _CERTIFICATE is set: unset one of them")
    username, password = (env.get(f"METERLINE_LOG_SASL_{name}") or "" for name in ("USERNAME", "PASSWORD"))
    if bool(username) != bool(password):
        raise SettingError(
            "METERLINE_LOG_SASL_USERNAME and METERLINE_LOG_SASL_PASSWORD belong together: set both or none"
        )
    mechanism = env.get("METERLINE_LOG_SASL_MECHANISM") or (MECHANISMS[0] if username else "")
    if mechanism and mechanism not in MECHANISMS:
        raise SettingError(f"METERLINE_LOG_SASL_MECHANISM={mechanism!r} must be one of {', '.join(MECHANISMS)}")
    if mechanism and not username:
        raise SettingError("METERLINE_LOG_SASL_MECHANISM needs METERLINE_LOG_SASL_USERNAME and _PASSWORD")
    if mechanism == "PLAIN" and not tls:
        raise SettingError(
            "METERLINE_LOG_SASL_MECHANISM='PLAIN' would show the password to the network: set METERLINE_LOG_TLS=1"
        )
    key_password = env.get("METERLINE_LOG_TLS_KEY_PASSWORD") or ""
    return KafkaSecurity(
        tls, **files, key_password=key_password, mechanism=mechanism, username=username, password=password
    )


def _file(env: Mapping[str, str], name: str) -> str:
    path = env.get(name) or ""
    if path and not os.access(path, os.R_OK):
        raise SettingError(f"{name}={path!r} is no file that can be read")
    return path


def _default_workers() -> int:
    return max(1, min(4, (os.cpu_count() or 1) - 1))


def _rate_limits(env: Mapping[str, str]) -> RateLimits | None:
    """Give None when they are off; numbers that are wrong are told even so."""
    usual = RateLimits()
    limits = RateLimits(
        ingest=_whole(env, "METERLINE_RATE_INGEST", usual.ingest, 1, RATE_MAX),
        reads=_whole(env, "METERLINE_RATE_READS", usual.reads, 1, RATE_MAX),
        writes=_whole(env, "METERLINE_RATE_WRITES", usual.writes, 1, RATE_MAX),
        window_s=_whole(env, "METERLINE_RATE_WINDOW_S", usual.window_s, 1, RATE_WINDOW_S_MAX),
    )
    return limits if _whole(env, "METERLINE_RATE_LIMITS", 0, 0, 1) else None


def _traces(env: Mapping[str, str]) -> TraceSettings | None:
    """Give None when they are off (OpenTelemetry: "Environment Variable Specification", "OTLP Exporter")."""
    base = env.get("OTEL_EXPORTER_OTLP_ENDPOINT") or ""
    own = env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or ""
    endpoint = own or (base and base.rstrip("/") + "/v1/traces")
    off = (env.get("OTEL_SDK_DISABLED") or "").lower() == "true" or env.get("OTEL_TRACES_EXPORTER") == "none"
    if not endpoint or off:
        return None
    if not endpoint.startswith(("http://", "https://")):
        name = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" if endpoint == own else "OTEL_EXPORTER_OTLP_ENDPOINT"
        raise SettingError(f"{name}={own or base!r}: write it as http://host:4318")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if (env.get(name) or "http/protobuf") != "http/protobuf":
            raise SettingError(f"{name}={env[name]!r}: traces go out as http/protobuf; unset it")
    sampler = env.get("OTEL_TRACES_SAMPLER") or SAMPLER_DEFAULT
    if sampler not in SAMPLERS:
        raise SettingError(f"OTEL_TRACES_SAMPLER={sampler!r} is none of {', '.join(SAMPLERS)}")
    ratio = env.get("OTEL_TRACES_SAMPLER_ARG") or "1"
    if _SHARE.fullmatch(ratio) is None:
        raise SettingError(f"OTEL_TRACES_SAMPLER_ARG={ratio!r} must be a number from 0 to 1, such as 0.01")
    return TraceSettings(endpoint, env.get("OTEL_SERVICE_NAME") or "meterline", sampler, ratio)


def _whole(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = env.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise SettingError(f"{name}={text!r} must be a whole number from {least} to {most}")
    return int(text)
