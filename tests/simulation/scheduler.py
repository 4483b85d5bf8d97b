"""Time, and processes that share one thread.

Each process has an event loop of its own, and all loops take their turns from one heap ordered by virtual time: nothing
ever sleeps, and the same integer gives the same order. A process can be killed between any two steps, or inside a call
(`Killed`): what it has in flight simply never goes on. It can be paused: then it goes on later, with what it believed
before, which is what makes a zombie. Work for threads is done in line, after a while.
"""

import asyncio
import heapq
from contextlib import suppress
from random import Random

from tests.simulation.faults import Faults

STEPS_MAX = 400_000
CLOSE_TRIES = 5
LOOK_EVERY_STEPS = 16


class Killed(BaseException):
    """The process that makes this call is dead; nothing catches it."""


class Scheduler:
    """The clock, and who goes next."""

    def __init__(self, random: Random, faults: Faults) -> None:
        self.now = 0.0
        self.random = random
        self.faults = faults
        self.trace: list[tuple[float, str, str]] = []
        self.processes: list[Process] = []
        self.unhandled: list[str] = []
        self.sockets = None
        self._heap: list[tuple[float, int, Process, asyncio.Handle]] = []
        self._steps = 0

    def note(self, who: str, what: str) -> None:
        """Add a line to what a replay prints."""
        self.trace.append((self.now, who, what))

    def push(self, at: float, process: "Process", handle: asyncio.Handle) -> None:
        """Have a step done at a time, after all others that were asked for that time before."""
        self._steps += 1
        heapq.heappush(self._heap, (at, self._steps, process, handle))

    def run(self, until: float, done=lambda: False) -> bool:
        """Go on until `done` says so, or the clock would pass `until`; tell whether `done` did."""
        steps = 0
        while True:
            steps += 1
            if steps % LOOK_EVERY_STEPS == 0 and done():
                return True
            if not self._heap or self._heap[0][0] > until:
                self.now = until
                return done()
            at, order, process, handle = heapq.heappop(self._heap)
            if handle.cancelled() or not process.alive:
                continue
            if process.paused_until > at:
                heapq.heappush(self._heap, (process.paused_until, order, process, handle))
                continue
            assert self._steps < STEPS_MAX, "the simulation never comes to rest"
            self.now = at
            asyncio._set_running_loop(process.loop)
            try:
                handle._run()
            finally:
                asyncio._set_running_loop(None)

    def close(self) -> None:
        """End every coroutine, so that nothing is left for the garbage collector to complain of."""
        for process in self.processes:
            process.alive = False
        for process in self.processes:
            for task in process.loop.tasks:
                task._log_destroy_pending = False
                for _ in range(CLOSE_TRIES):
                    try:
                        task.get_coro().close()
                        break
                    except BaseException:  # noqa: BLE001 - What a dead process says is of no interest.
                        continue
                with suppress(asyncio.CancelledError, asyncio.InvalidStateError):
                    task.exception()
        self._heap.clear()


class Process:
    """One operating-system process, as far as anything here can tell."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self.scheduler = scheduler
        self.name = name
        self.alive = True
        self.paused_until = 0.0
        self.loop = ProcessLoop(self)
        self.at_death = []
        scheduler.processes.append(self)

    def spawn(self, coroutine):
        """Begin a task, from outside."""
        return self.loop.create_task(coroutine)

    def kill(self, why: str) -> None:
        """Take no further step, ever; files and locks are let go, as the kernel would."""
        if not self.alive:
            return
        self.scheduler.note(self.name, f"dies: {why}")
        self.alive = False
        for told in self.at_death:
            told()

    def die_here(self, why: str) -> None:
        """As `kill`, from inside a call of the process itself."""
        self.kill(why)
        raise Killed

    def pause(self, seconds: float) -> None:
        """Stand still, knowing nothing of it."""
        self.scheduler.note(self.name, f"stands still for {seconds:.1f} s")
        self.paused_until = max(self.paused_until, self.scheduler.now + seconds)


class ProcessLoop(asyncio.AbstractEventLoop):
    """The part of an event loop that our code and asyncio's own need."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._scheduler = process.scheduler
        self.tasks: list[asyncio.Task] = []

    def time(self):
        return self._scheduler.now

    def call_soon(self, callback, *args, context=None):
        return self.call_at(self._scheduler.now, callback, *args, context=context)

    call_soon_threadsafe = call_soon

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self._scheduler.now + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        handle = asyncio.Handle(callback, args, self, context)
        self._scheduler.push(max(when, self._scheduler.now), self._process, handle)
        return handle

    def create_future(self):
        return asyncio.Future(loop=self)

    def create_task(self, coro, *, name=None, context=None):
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self.tasks.append(task)
        return task

    def run_in_executor(self, _executor, func, *args):
        """Do a thread's work in line, later; as in a thread, it is done even when nobody waits for it any more."""
        future = self.create_future()
        faults = self._scheduler.faults
        delay = faults.latency(0.001)
        if faults.hit("thread hangs"):
            delay += faults.random.uniform(0.5, 8)
        self.call_later(delay, self._work, future, func, args)
        return future

    def _work(self, future, func, args):
        try:
            result = func(*args)
        except Killed:
            return
        except BaseException as error:  # noqa: BLE001 - Handed to whoever waits.
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)

    async def create_unix_connection(self, factory, path):
        await asyncio.sleep(self._scheduler.faults.latency(0.001))
        return self._scheduler.sockets.connect(self._process, factory, path)

    async def create_unix_server(self, factory, *, sock, backlog):  # noqa: ARG002 - asyncio's signature.
        return self._scheduler.sockets.listen(self._process, factory, sock)

    def call_exception_handler(self, context):
        if "handle" in context and self._process.alive:
            self._scheduler.unhandled.append(f"{self._process.name}: {context.get('exception')!r}")

    def get_debug(self):
        return False

    def is_running(self):
        return True

    def is_closed(self):
        return False
