"""The processes of the all-in-one: `python -m deploy.parts CONFIG`, one for each part, started by the supervisor.

A part is configured by one JSON argument, ends when it is told to (SIGTERM) or when the supervisor's pipe closes, and
says on its error output, in one line, why it cannot run before it ends with `EXIT_REFUSED`.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog
import uvloop

from ingest.errors import LogCorruptError, LogDeniedError, LogMismatchError, LogUnavailableError
from metering.errors import DataTooNewError, SettingsError
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
    rate_limits: RateLimits | None = None
    log_url: str = ""
    spool_dir: str = ""
    spool_bytes_max: int = 0
    listener: int = -1
    lifeline: int = -1

    @property
    def log_dir(self) -> Path:
        """Where the local log lies."""
        return Path(self.data_dir) / "log"

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


Serve = Callable[[PartConfig, asyncio.Event], Awaitable[None]]


def main(config: PartConfig) -> int:
    """Run one part until it is told to stop; gives the exit code."""
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
    serve = _serve_of(config.kind)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_told(serve, config))
    except (DataTooNewError, SettingsError, LogMismatchError, LogCorruptError, LogDeniedError) as error:
        print(f"meterline {config.kind}: {error}", file=sys.stderr)  # noqa: T201 - the line for the operator.
        return EXIT_REFUSED
    except LogUnavailableError as error:
        print(f"meterline {config.kind}: {error}", file=sys.stderr)  # noqa: T201 - as above; waiting may help.
        return 1
    return 0


async def _until_told(serve: Serve, config: PartConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    if config.lifeline >= 0:
        loop.add_reader(config.lifeline, _lifeline_closed, loop, config.lifeline, stop)
    await serve(config, stop)


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
    assert kind == "gateway", kind
    from deploy.gateway_part import serve_gateway

    return serve_gateway


if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(sys.argv[1], type=PartConfig)))
