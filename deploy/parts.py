"""The processes of the all-in-one: `python -m deploy.parts CONFIG`, one for each part, started by the supervisor.

A part is configured by one JSON argument, and by the registry's URL on its input, for that may hold a password. It ends
when it is told to (SIGTERM) or when the supervisor's pipe closes, and says on its error output, in one line, why it
cannot run before it ends with `EXIT_REFUSED`.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import msgspec
import structlog
import uvloop

from deploy.disk_use import places_of
from deploy.loader_settings import LoaderSettings
from deploy.output import lose_what_cannot_be_written
from deploy.trace_settings import TraceSettings
from ingest.errors import LogCorruptError, LogDeniedError, LogMismatchError, LogTooNewError, LogUnavailableError
from ingest.log.archive.keeper import Keep
from ingest.log.local.writer import SEGMENT_BYTES
from metering.errors import DataTooNewError, SettingsError, StoreRefusedError, UnavailableError
from metering.http.rate_limits import RateLimits, SharedLimiter

EXIT_REFUSED = 78
"""The part cannot run and starting it again would not help: EX_CONFIG of sysexits.h."""


class PartConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a part is told. `lifeline` is a pipe that closes when the supervisor dies.

    No `log_url`: the local log; no `spool_dir`: no spool.
    """

    kind: str
    data_dir: str
    run_dir: str
    store_url: str
    registry_url: str
    name: str = ""
    metrics_public: bool = False
    metrics_token: str = ""
    rate_limits: RateLimits | None = None
    log_url: str = ""
    follows_local: bool = False
    """The log in Kafka follows the local one in the data folder, which is applied first."""
    log_keep: Keep = Keep.ARCHIVE
    log_archive_dir: str = ""
    log_segment_bytes: int = SEGMENT_BYTES
    spool_dir: str = ""
    spool_bytes_max: int = 0
    accept_poison: bool = False
    traces: TraceSettings | None = None
    rollups: bool = True
    loaders: LoaderSettings | None = None
    listener: int = -1
    lifeline: int = -1

    @property
    def log_dir(self) -> Path:
        """Where the local log lies."""
        return Path(self.data_dir) / "log"

    def places(self) -> Mapping[str, Path]:
        """Name what lies where."""
        return places_of(Path(self.data_dir), self.archive_dir, self.store_url, self.registry_url)

    @property
    def archive_dir(self) -> Path:
        """Where the local log is archived."""
        return Path(self.log_archive_dir)

    @property
    def imports_dir(self) -> Path:
        """Where uploaded files wait to be imported."""
        return Path(self.data_dir) / "imports"

    @property
    def log_socket(self) -> Path:
        """Where gateways reach the log."""
        return Path(self.run_dir) / "log.sock"

    @property
    def spool_socket(self) -> Path:
        """Where gateways reach the spool."""
        return Path(self.run_dir) / "spool.sock"

    def limiter(self) -> SharedLimiter | None:
        """Open the counts of requests, None when they are not limited."""
        if self.rate_limits is None:
            return None
        return SharedLimiter.open(Path(self.run_dir) / "requests", self.rate_limits)

    @property
    def core_socket(self) -> Path:
        """Where gateways reach the core."""
        return Path(self.run_dir) / "core.sock"


_REFUSALS = (
    DataTooNewError,
    SettingsError,
    StoreRefusedError,
    LogMismatchError,
    LogCorruptError,
    LogDeniedError,
    LogTooNewError,
)

Serve = Callable[[PartConfig, asyncio.Event], Awaitable[None]]


def main(config: PartConfig) -> int:
    """Run one part until it is told to stop; gives the exit code."""
    return run(config.kind, partial(_serve_of(config.kind), config), config.lifeline)


def run(name: str, serve: Callable[[asyncio.Event], Awaitable[None]], lifeline: int = -1) -> int:
    """Run what serves until its event is set, by SIGTERM, SIGINT or the end of the lifeline; gives the exit code.

    Why it cannot run is one line on the error output, which begins with `name`.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_told(serve, lifeline))
    except _REFUSALS as error:
        print(f"meterline {name}: {error}", file=sys.stderr)  # noqa: T201 - the line for the operator.
        return EXIT_REFUSED
    except (LogUnavailableError, UnavailableError) as error:
        print(f"meterline {name}: {error}", file=sys.stderr)  # noqa: T201 - as above; waiting may help.
        return 1
    return 0


async def _until_told(serve: Callable[[asyncio.Event], Awaitable[None]], lifeline: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    if lifeline >= 0:
        loop.add_reader(lifeline, _lifeline_closed, loop, lifeline, stop)
    await serve(stop)


def _lifeline_closed(loop: asyncio.AbstractEventLoop, lifeline: int, stop: asyncio.Event) -> None:
    if os.read(lifeline, 1) == b"":
        loop.remove_reader(lifeline)
        stop.set()


def _serve_of(kind: str) -> Serve:
    """Import only what this part needs: a gateway does not pay for the store."""
    if kind == "log":
        from deploy.log_part import serve_log

        return serve_log
    if kind == "spool":
        from deploy.spool_part import serve_spool

        return serve_spool
    if kind == "core":
        from deploy.core_part import serve_core

        return serve_core
    if kind == "loaders":
        from deploy.loaders_part import serve_loaders

        return serve_loaders
    assert kind == "gateway", kind
    from deploy.gateway_part import serve_gateway

    return serve_gateway


if __name__ == "__main__":
    lose_what_cannot_be_written()
    told = msgspec.json.decode(sys.argv[1], type=PartConfig)
    sys.exit(main(msgspec.structs.replace(told, registry_url=sys.stdin.read())))
