"""What an operator may set: read from the environment once, here, and handed down as a frozen value.

| variable | meaning | default |
| --- | --- | --- |
| `METERLINE_HOST`, `METERLINE_PORT` | where the one address is | `127.0.0.1`, `8080` |
| `METERLINE_DATA_DIR` | where everything is kept | `./data` |
| `METERLINE_GATEWAY_WORKERS` | gateway processes behind the address | one for each core but one, 1 to 4 |
| `METERLINE_STORE_URL` | the store | chDB in the data folder |
| `METERLINE_REGISTRY_URL` | the registry | SQLite in the data folder |
| `METERLINE_RATE_LIMITS` | `1`: limit the requests of each key | `0` |
| `METERLINE_RATE_INGEST`, `_READS`, `_WRITES` | requests of a key in each window | `1000`, `200`, `50` |
| `METERLINE_RATE_WINDOW_S` | how long a window is | `10` |
| `METERLINE_METRICS_PUBLIC` | `1`: tell `/metrics` to everybody, not to this machine alone | `0` |
| `METERLINE_LOG_URL` | the log: `kafka://host:port[,host:port]/topic?partitions=4` | the local log in the data folder |
| `OTEL_EXPORTER_OTLP_ENDPOINT`, or `..._TRACES_ENDPOINT` | where traces are sent, OTLP over HTTP | none: no traces |
| `OTEL_TRACES_SAMPLER`, `_ARG` | which requests are traced | `parentbased_always_on` |
| `OTEL_SERVICE_NAME` | what the service is called in traces | `meterline` |
| `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER` | `true`, `none`: no traces all the same | `false`, `otlp` |
| `METERLINE_BOOTSTRAP_API_KEY` | an admin key for the default account, created at start if it is not there | none |
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.trace_settings import SAMPLER_DEFAULT, SAMPLERS, TraceSettings
from ingest.log.kafka.address import KafkaAddress
from metering.http.rate_limits import RateLimits

GATEWAY_WORKERS_MAX = 64
RATE_MAX = 1_000_000_000
RATE_WINDOW_S_MAX = 3600

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
    store_url: str
    registry_url: str
    log_url: str
    """Empty for the local log."""
    bootstrap_api_key: str | None = field(repr=False)
    rate_limits: RateLimits | None = None
    metrics_public: bool = False
    traces: TraceSettings | None = None

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
    log_url = _log_url(env.get("METERLINE_LOG_URL") or "", data_dir)
    store_url = env.get("METERLINE_STORE_URL") or f"chdb://{data_dir / 'store'}"
    if not store_url.startswith("chdb://"):
        raise SettingError(f"METERLINE_STORE_URL={store_url!r}: the all-in-one keeps chdb:///absolute/path; unset it")
    registry_url = env.get("METERLINE_REGISTRY_URL") or f"sqlite:///{data_dir / 'registry.db'}"
    if not registry_url.startswith("sqlite:///"):
        raise SettingError(
            f"METERLINE_REGISTRY_URL={_scheme(registry_url)}: this release keeps sqlite:///absolute/path"
        )
    return Settings(
        host=env.get("METERLINE_HOST") or "127.0.0.1",
        port=_whole(env, "METERLINE_PORT", 8080, 0, 65_535),
        data_dir=data_dir,
        gateway_workers=_whole(env, "METERLINE_GATEWAY_WORKERS", _default_workers(), 1, GATEWAY_WORKERS_MAX),
        store_url=store_url,
        registry_url=registry_url,
        log_url=log_url,
        bootstrap_api_key=env.get("METERLINE_BOOTSTRAP_API_KEY") or None,
        rate_limits=_rate_limits(env),
        metrics_public=bool(_whole(env, "METERLINE_METRICS_PUBLIC", 0, 0, 1)),
        traces=_traces(env),
    )


def _log_url(url: str, data_dir: Path) -> str:
    if url in {"", f"local://{data_dir / 'log'}"}:
        return ""
    try:
        KafkaAddress.parse(url)
    except ValueError as error:
        raise SettingError(f"METERLINE_LOG_URL: {error}; or unset it for the log in METERLINE_DATA_DIR") from None
    return url


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


def _scheme(url: str) -> str:
    """Name a URL without the password it may carry."""
    return repr(url.partition("://")[0] + "://...")
