r"""The parts of the product apart: `meterline gateway`, `consumer`, `api` and `loaders`, any number of each.

        clients                              Prometheus asks each process
           |
     gateway  gateway ...  ---append--->  Kafka  ---poll--->  consumer  consumer ...
           \   |                            |                    |        |
            `--+--- HTTP, secret ---> api  api ...  --read-->  ClickHouse <- write
                                        \________ registry ________/

Each is one process in the foreground, keeps nothing on its disk (but uploaded files, which wait for their import, and a
gateway's spool), and finds every neighbour by a URL. A neighbour that is away, at the start too, is waited for: the
process lives, says by `/health` what is missing, and answers 503 with `Retry-After` to what it cannot do. What waiting
cannot mend (a setting, a password, data of a newer release) ends it with one line.
"""

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from aiohttp import web

from deploy.clock import now
from deploy.first_key import bootstrap_key
from deploy.health import PATHS, Health
from deploy.log_choice import kafka_answers
from deploy.metrics import Scrapers
from deploy.part_config import part_config
from deploy.parts import run
from deploy.settings import KEY_VARIABLES, SettingError, Settings
from deploy.store_choice import open_store
from deploy.supervisor import listen
from ingest.errors import IngestError, LogUnavailableError
from loaders.secrets.key_file import NAME as KEY_FILE
from metering.errors import UnavailableError
from metering.http.app import SECURITY_HEADERS, error_response
from metering.http.problem import ApiError
from metering.registry.engine import Registry
from metering.registry.keys import check_secret
from metering.registry.migrate import migrate
from metering.store.client import Store

ROLES = ("gateway", "consumer", "api", "loaders")
PORTS = {"gateway": 8080, "api": 8081, "consumer": 8082, "loaders": 8083}
"""Where each listens when METERLINE_PORT does not say."""
WAIT_S_MIN = 0.2
WAIT_S_MAX = 5.0
DRAIN_S_MAX = 10.0

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class StoppedError(Exception):
    """It was told to stop while it waited for a neighbour."""


def check_settings(role: str, settings: Settings) -> None:
    """Refuse what a role cannot work with.

    Raises:
        SettingError: the message names the variable and the remedy.
    """
    if not settings.log_url:
        raise SettingError(
            f"METERLINE_LOG_URL is missing: a {role} works with Kafka, kafka://host:9092,host:9092/topic?partitions=4; "
            "`meterline up` is everything on one machine"
        )
    if settings.spool_dir is not None and role != "gateway":
        raise SettingError(f"METERLINE_SPOOL_DIR is for gateways: a {role} keeps no spool, so unset it")
    if "METERLINE_REGISTRY_URL" not in settings.given:
        raise SettingError(f"METERLINE_REGISTRY_URL is missing: a {role} shares the registry with the other parts")
    if role in {"consumer", "api"} and not settings.store_url.startswith(("http://", "https://")):
        raise SettingError(
            f"METERLINE_STORE_URL is missing or no server: a {role} needs http://user:password@host:8123/database, "
            "or https"
        )
    if role == "gateway" and not settings.api_urls:
        raise SettingError("METERLINE_API_URL is missing: a gateway needs to know where APIs are, http://host:8081")
    if role in {"gateway", "api"} and not settings.internal_secret:
        raise SettingError(
            f"METERLINE_INTERNAL_SECRET is missing: gateways and APIs know each other by it, and so does this {role}; "
            "make one with `openssl rand -hex 32`"
        )
    if role == "loaders" and not (settings.given & KEY_VARIABLES or (settings.data_dir / KEY_FILE).exists()):
        raise SettingError(
            "METERLINE_SECRETS_KEY is missing: loaders open passwords with the key that APIs have, id:base64; "
            "make one with `meterline secrets new-key`"
        )
    if settings.bootstrap_api_key is not None:
        try:
            check_secret(settings.bootstrap_api_key)
        except ValueError as error:
            raise SettingError(f"METERLINE_BOOTSTRAP_API_KEY: {error}") from None


class Role:
    """What all roles begin with: an address that answers from the first moment, settings, and patience."""

    def __init__(self, name: str, settings: Settings, run_dir: Path, listener: socket.socket) -> None:
        self.name = name
        self.settings = settings
        self.run_dir = run_dir
        self.listener = listener
        self.health = Health(name)
        self.scrapers = Scrapers(settings.metrics_public, settings.metrics_token)
        self.config = part_config(settings, run_dir, name, name=name)

    async def there(self, what: str, open_it: Callable[[], Awaitable[T]], stop: asyncio.Event) -> T:
        """Open a neighbour, however long that takes.

        Raises:
            StoppedError: it was told to stop instead.
        """
        self.health.waits_for = what
        pause_s = WAIT_S_MIN
        stopping = asyncio.create_task(stop.wait())
        try:
            while True:
                opening = asyncio.ensure_future(open_it())
                await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not opening.done():
                    opening.cancel()
                    raise StoppedError
                try:
                    return opening.result()
                except (UnavailableError, LogUnavailableError) as error:
                    _log.warning(f"waits for {what}", reason=str(error), wait_s=pause_s)
                await asyncio.wait({stopping}, timeout=pause_s)
                if stopping.done():
                    raise StoppedError
                pause_s = min(2 * pause_s, WAIT_S_MAX)
        finally:
            stopping.cancel()

    async def open_registry(self, stack: AsyncExitStack, stop: asyncio.Event) -> Registry:
        """Open the registry, migrated, with the key that METERLINE_BOOTSTRAP_API_KEY asks for."""
        registry = Registry(self.settings.registry_url)
        stack.callback(registry.close)
        await self.there("the registry", lambda: asyncio.to_thread(self._prepare, registry), stop)
        return registry

    async def open_store(self) -> Store:
        """Open the store, migrated.

        Raises:
            StoreUnavailableError: call again.
        """
        settings = self.settings
        return await asyncio.to_thread(open_store, settings.store_url, replicated=settings.store_replicated)

    def _prepare(self, registry: Registry) -> None:
        migrate(registry)
        if self.settings.bootstrap_api_key is not None:
            with registry.writing() as connection:
                bootstrap_key(connection, self.settings.bootstrap_api_key, now())

    def own_listener(self) -> socket.socket:
        """Give a listener of its own to a server that closes it; connections wait where the first one is."""
        return socket.socket(fileno=os.dup(self.listener.fileno()))

    @asynccontextmanager
    async def answering(self, metrics: Callable[[], Awaitable[web.StreamResponse]] | None) -> AsyncIterator[None]:
        """Answer health and metrics, and 503 to all else, within the block."""

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            if request.path in PATHS:
                return await self.health.answer(request)
            if request.path == "/metrics" and metrics is not None:
                return await self.scraped(metrics, request)
            return self.health.refusal(await self.health.missing() or ["nothing: it answers /health and /metrics"])

        runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=1)
        await runner.setup()
        try:
            await web.SockSite(runner, self.own_listener()).start()
            yield
        finally:
            await runner.cleanup()

    async def scraped(
        self, metrics: Callable[[], Awaitable[web.StreamResponse]], request: web.BaseRequest
    ) -> web.StreamResponse:
        """Give the metrics to whom they may be told."""
        try:
            self.scrapers.check(request, request.remote or "unknown")
            response = await metrics()
        except ApiError as error:
            response = error_response(error)
        response.headers.update(SECURITY_HEADERS)
        return response

    def registry_answers(self, registry: Registry) -> Callable[[], Awaitable[object]]:
        """Give the check of the registry."""
        return lambda: registry.read(lambda connection: connection.execute(sa.select(1)).scalar_one())

    def log_answers(self) -> Callable[[], Awaitable[object]]:
        """Give the check of the log for who does not read it."""
        return kafka_answers(self.config)


Serve = Callable[[Role, asyncio.Event], Coroutine[Any, Any, None]]


def run_role(name: str, settings: Settings) -> int:
    """Run a role in the foreground until SIGTERM or Ctrl-C; gives the exit code.

    Raises:
        SettingError: it cannot start as it is set.
    """
    check_settings(name, settings)
    port = settings.port if "METERLINE_PORT" in settings.given else PORTS[name]
    try:
        listener = listen(settings.host, port)
    except OSError as error:
        raise SettingError(
            f"{settings.host}:{port} cannot be used ({error.strerror}): set METERLINE_PORT or METERLINE_HOST"
        ) from None
    with listener, tempfile.TemporaryDirectory(prefix=f"meterline-{name}-") as run_dir:
        try:
            return run(name, partial(_serve, name, settings, Path(run_dir), listener))
        except IngestError as error:
            print(f"meterline {name}: {error}", file=sys.stderr)  # noqa: T201 - the line for the operator.
            return 1


async def _serve(name: str, settings: Settings, run_dir: Path, listener: socket.socket, stop: asyncio.Event) -> None:
    structlog.contextvars.bind_contextvars(role=name)
    host, port = listener.getsockname()[:2]
    print(f"meterline {name} listens at {host}:{port}", flush=True)  # noqa: T201 - for the operator.
    try:
        await _serve_of(name)(Role(name, settings, run_dir, listener), stop)
    except StoppedError:
        return


def _serve_of(name: str) -> Serve:
    """Import only what this role needs."""
    if name == "gateway":
        from deploy.gateway_role import serve_gateways

        return serve_gateways
    if name == "consumer":
        from deploy.consumer_role import serve_consumer

        return serve_consumer
    if name == "loaders":
        from deploy.loaders_role import serve_loaders_apart

        return serve_loaders_apart
    assert name == "api", name
    from deploy.api_role import serve_api

    return serve_api
