"""`meterline up`: the whole product in the foreground, until Ctrl-C."""

import asyncio
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import sqlalchemy as sa
from msgspec.structs import replace
from rich.console import Console
from rich.markup import escape

from deploy.data_dir import DataDirError, hold
from deploy.first_key import bootstrap_key
from deploy.log_switch import LogSwitchError, follows_local_log
from deploy.metrics import KINDS, RESTART_CELLS
from deploy.part_config import part_config
from deploy.parts import PartConfig
from deploy.run_dir import make_run_dir
from deploy.settings import KEY_VARIABLES, SettingError, Settings, read_keyring
from deploy.spool_folder import SpoolLeftError, remember_spool
from deploy.supervisor import Supervisor, listen
from ingest.errors import IngestError
from loaders.secrets.errors import KeysError
from loaders.secrets.key_file import NAME as KEY_FILE
from loaders.secrets.key_file import make_key_file
from metering.errors import MeteringError
from metering.http.scope import Scope
from metering.metrics import Tallies
from metering.registry.accounts import DEFAULT_ACCOUNT, ensure_account
from metering.registry.engine import Registry
from metering.registry.keys import create_key
from metering.registry.migrate import migrate
from metering.world import Mode, World

READY_WAIT_S_MAX = 60.0
PORT_WAIT_S_MAX = 3.0


class StartError(Exception):
    """It cannot start; the message is one clear line."""


@dataclass(frozen=True, slots=True)
class FirstKey:
    """The key to show: only at the start that made it can its text be had."""

    account: str
    secret: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """What this start holds while it runs: the address, the data folder's lock, and where its sockets lie."""

    listener: socket.socket
    lock: int
    run_dir: Path
    follows_local: bool
    """The log is in Kafka, and follows the local one in the data folder."""

    @property
    def port(self) -> int:
        """The port that was bound, also when any was asked for."""
        port: int = self.listener.getsockname()[1]
        return port


def run_up(settings: Settings, console: Console) -> int:
    """Run everything until told to stop; gives the exit code.

    Raises:
        StartError: it cannot start.
    """
    if not settings.store_url.startswith("chdb://"):
        raise StartError(
            "METERLINE_STORE_URL names a server, and the all-in-one keeps its store itself: unset it, or run "
            "`meterline gateway`, `meterline consumer` and `meterline api`"
        )
    try:
        lock = hold(settings.data_dir)
    except DataDirError as error:
        raise StartError(str(error)) from None
    _check_spool(settings)
    _make_key_file(settings)
    key, follows_local = _prepare_registry(settings)
    listener = _listen(settings)
    run_dir, temporary = make_run_dir(settings.data_dir)
    try:
        return asyncio.run(_run(settings, console, Held(listener, lock, run_dir, follows_local=follows_local), key))
    finally:
        listener.close()
        if temporary:
            shutil.rmtree(run_dir, ignore_errors=True)
        os.close(lock)


async def _run(settings: Settings, console: Console, held: Held, key: FirstKey) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    restarts = Tallies(held.run_dir / "supervisor", RESTART_CELLS)
    supervisor = Supervisor(lambda line: console.print(f"[yellow]{escape(line)}[/]"), partial(_count_restart, restarts))
    config = replace(part_config(settings, held.run_dir, "log"), follows_local=held.follows_local)
    stopping = asyncio.create_task(stop.wait())
    try:
        await _start_parts(supervisor, config, settings.gateway_workers, held)
        slow = f"[yellow]not ready after {READY_WAIT_S_MAX:.0f} s; still trying[/]"
        ready = asyncio.create_task(_until_ready(settings.host, held.port, lambda: console.print(slow)))
        await _first(ready, stopping, supervisor.refused)
        if ready.done():
            await ready
            _greet(console, settings, held.port, key)
        await _first(stopping, supervisor.refused)
        ready.cancel()
        if supervisor.refused.done():
            console.print(f"[red]{supervisor.refused.result()} cannot run (see above): stopping[/]")
            return 1
        console.print("stopping: finishing what was begun …")
        return 0
    finally:
        stopping.cancel()
        await supervisor.stop()


def _count_restart(restarts: Tallies, kind: str) -> None:
    restarts.cells[KINDS.index(kind)] += 1


async def _first(*waits: asyncio.Future[Any]) -> None:
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)


async def _start_parts(supervisor: Supervisor, config: PartConfig, workers: int, held: Held) -> None:
    if not config.log_url:
        await supervisor.start("log", config, [held.lock])
    if config.spool_dir:
        await supervisor.start("spool", replace(config, kind="spool"), [held.lock])
    await supervisor.start("core", replace(config, kind="core"), [held.lock])
    if config.loaders is not None and config.loaders.on:
        await supervisor.start("loaders", replace(config, kind="loaders"), [held.lock])
    for number in range(workers):
        name = "gateway" if workers == 1 else f"gateway {number + 1}"
        gateway = replace(config, kind="gateway", listener=held.listener.fileno())
        await supervisor.start(name, gateway, [held.lock, held.listener.fileno()])


async def _until_ready(host: str, port: int, say_slow: Callable[[], None]) -> None:
    """Return once it can answer, however late: only then is the first key shown."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound.
    url = f"http://{f'[{reached}]' if ':' in reached else reached}:{port}/readyz"
    slow = asyncio.get_running_loop().call_later(READY_WAIT_S_MAX, say_slow)
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            while not await _answers(session, url):  # noqa: ASYNC110 - another process sets no event.
                await asyncio.sleep(0.1)
    finally:
        slow.cancel()


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _prepare_registry(settings: Settings) -> tuple[FirstKey, bool]:
    """Migrate the registry, and make the default account with its first key at the first start.

    Tells too whether the log follows the local one: before anything could be taken into one that nobody would read.

    Raises:
        StartError: it cannot be used.
    """
    try:
        registry = Registry(settings.registry_url)
        try:
            migrate(registry)
            with registry.writing() as connection:
                follows_local = follows_local_log(connection, settings)
                return _first_key(connection, settings), follows_local
        finally:
            registry.close()
    except (MeteringError, LogSwitchError) as error:
        raise StartError(str(error)) from None


def _first_key(connection: sa.Connection, settings: Settings) -> FirstKey:
    now = datetime.now(UTC)
    account, created = ensure_account(connection, DEFAULT_ACCOUNT, now)
    wanted = settings.bootstrap_api_key
    if wanted is not None:
        try:
            bootstrap_key(connection, wanted, now)
        except ValueError as error:
            raise StartError(f"METERLINE_BOOTSTRAP_API_KEY: {error}") from None
        return FirstKey(account.name, wanted)
    if not created:
        return FirstKey(account.name, None)
    _, secret = create_key(connection, World(account.id, Mode.TEST), [Scope.ADMIN], now, name="first")
    return FirstKey(account.name, secret)


def _check_spool(settings: Settings) -> None:
    """Refuse to leave events behind in a spool that is not named any more."""
    try:
        remember_spool(settings.data_dir, settings.spool_dir)
    except (SpoolLeftError, IngestError, OSError) as error:
        raise StartError(str(error)) from None


def _make_key_file(settings: Settings) -> None:
    """Give the installation a key of its own to keep passwords with, unless one is given; refuse keys that are none."""
    try:
        if not settings.given & KEY_VARIABLES:
            make_key_file(settings.data_dir / KEY_FILE)
        read_keyring(settings.data_dir).newest()
    except (KeysError, SettingError) as error:
        raise StartError(str(error)) from None


def _listen(settings: Settings) -> socket.socket:
    """Bind the address; gateways of a supervisor that died may take a moment to let go of it."""
    deadline = time.monotonic() + PORT_WAIT_S_MAX
    while True:
        try:
            return listen(settings.host, settings.port)
        except PermissionError:
            raise StartError(f"port {settings.port} needs rights that this user has not: set METERLINE_PORT") from None
        except OSError as error:
            if time.monotonic() > deadline:
                raise StartError(
                    f"{settings.host}:{settings.port} cannot be used ({error.strerror}): stop what runs there, "
                    "or set METERLINE_PORT (or METERLINE_HOST) to another"
                ) from None
            time.sleep(0.1)


def _greet(console: Console, settings: Settings, port: int, key: FirstKey) -> None:
    url = f"{settings.url.rpartition(':')[0]}:{port}"
    console.print(f"\n[bold]Meterline[/] is ready at [bold]{url}[/]  (data in {escape(str(settings.data_dir))})")
    if key.secret is None:
        console.print(
            f"The account {key.account!r} is there already; its keys were shown when they were made.\n"
            f"Make another:  meterline keys create --account {key.account} --mode test --scope admin"
        )
    else:
        console.print(f"The key of the account {key.account!r}, shown this once:  [bold]{key.secret}[/]")
        console.print("\nSend an event (paste this line):\n")
        console.print(_curl(url, key.secret), soft_wrap=True, highlight=False, markup=False)
    console.print("\nSee it: sign in with the key at the address above. A real trace: [bold]meterline demo[/]")
    console.print("Ctrl-C stops.\n")


def _curl(url: str, secret: str) -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    event = (
        f'{{"customer_id":"acme","timestamp":"{now}","event_type":"api_call",'
        '"record":{"id":"call-1","duration_ms":32}}'
    )
    return (
        f"curl -i {url}/v1/events -H 'Authorization: Bearer {secret}' -d '{event}' -H 'Content-Type: application/json'"
    )
