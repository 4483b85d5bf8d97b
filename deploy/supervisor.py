"""Start the parts of the all-in-one, restart what dies, stop all in an order that loses nothing.

    gateway x N  --(Unix socket)-->  log  --(files)-->  core
         `------(Unix socket)------------------------->  '

The listening socket belongs to the supervisor and is inherited by every gateway, so a restart of one drops no
connection that waits. A part that ends by itself is started again, after a growing pause when it keeps dying; one that
ends with `EXIT_REFUSED` has said why it cannot run, and everything stops. Parts leave when the supervisor's pipe
closes, so none outlives it, however it died.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from deploy.parts import EXIT_REFUSED, PartConfig

RESTART_PAUSE_S_MIN = 0.05
RESTART_PAUSE_S_MAX = 5.0
HEALTHY_AFTER_S = 10.0
STOP_WAIT_S_MAX = 30.0


@dataclass(slots=True)
class Part:
    """One process to keep alive."""

    name: str
    config: PartConfig
    fds: tuple[int, ...]
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    starting: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    keeper: asyncio.Task[None] | None = field(default=None, repr=False)


class Supervisor:
    """Keeps the parts alive until told to stop."""

    def __init__(self, say: Callable[[str], None], count_restart: Callable[[str], None] = lambda _: None) -> None:
        """`say` prints a line for the operator; `count_restart` is told the kind of a part that is started again."""
        self._say = say
        self._count_restart = count_restart
        self._parts: list[Part] = []
        self._stopping = asyncio.Event()
        self._lifeline, self._held = os.pipe()
        os.set_inheritable(self._lifeline, True)
        os.set_inheritable(self._held, False)
        self.refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def start(self, name: str, config: PartConfig, fds: Sequence[int] = ()) -> Part:
        """Start a part and keep it alive."""
        part = Part(name, config, (*fds, self._lifeline))
        self._parts.append(part)
        await self._spawn(part)
        part.keeper = asyncio.create_task(self._keep(part))
        return part

    async def stop(self) -> None:
        """Stop all parts, each drained before the next: gateways, loaders, spool, log, core."""
        self._stopping.set()
        for kind in ("gateway", "loaders", "spool", "log", "core"):
            await asyncio.gather(*(self._end(part) for part in self._parts if part.config.kind == kind))

    async def _spawn(self, part: Part) -> None:
        config = msgspec.structs.replace(part.config, name=part.name, lifeline=self._lifeline, registry_url="")
        told, tell = os.pipe()
        try:
            # Every user of the machine may read the arguments of its processes, and this may hold a password.
            with os.fdopen(tell, "w") as secret:
                secret.write(part.config.registry_url)
            part.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "deploy.parts",
                msgspec.json.encode(config).decode(),
                pass_fds=part.fds,
                stdin=told,
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops the parts in order.
            )
        finally:
            os.close(told)

    async def _keep(self, part: Part) -> None:
        pause = RESTART_PAUSE_S_MIN
        while True:
            assert part.process is not None
            started = time.monotonic()
            code = await part.process.wait()
            if self._stopping.is_set():
                return
            if code == EXIT_REFUSED:
                if not self.refused.done():
                    self.refused.set_result(part.name)
                return
            if time.monotonic() - started > HEALTHY_AFTER_S:
                pause = RESTART_PAUSE_S_MIN
            self._say(f"{part.name} ended ({_how(code)}): starting it again")
            await asyncio.sleep(pause)
            pause = min(pause * 2, RESTART_PAUSE_S_MAX)
            part.restarts += 1
            self._count_restart(part.config.kind)
            async with part.starting:
                if self._stopping.is_set():
                    return
                try:
                    await self._spawn(part)
                except OSError as error:  # No memory or no process to be had now: the next round tries again.
                    self._say(f"{part.name} cannot be started now: {error}")

    async def _end(self, part: Part) -> None:
        async with part.starting:  # One that is just being started again has to be told too.
            process = part.process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_WAIT_S_MAX):
                await process.wait()
        except TimeoutError:
            self._say(f"{part.name} did not stop within {STOP_WAIT_S_MAX:.0f} s and was killed; nothing is lost")
            process.kill()
            await process.wait()


def listen(host: str, port: int) -> socket.socket:
    """Bind the one address.

    Raises:
        OSError: it is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except BaseException:
        listener.close()
        raise
    listener.set_inheritable(True)
    return listener


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
