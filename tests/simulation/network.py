"""Calls from one process to another: they may be lost on the way there, come late, or be done and never answered."""

import asyncio

from tests.simulation.scheduler import Process, Scheduler


class Network:
    """All wires of the installation."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._faults = scheduler.faults

    async def call(self, caller: Process, callee: Process | None, work, wait_s_max: float):
        """Have another process do some work, and give its result.

        Raises:
            ConnectionError, TimeoutError: whether it was, or will be, done is not known.
            Exception: what the work raised.
        """
        faults = self._faults
        if callee is None or not callee.alive:
            await asyncio.sleep(faults.latency(0.01))
            raise ConnectionRefusedError("nobody is there")
        if faults.hit("request lost"):
            await asyncio.sleep(faults.random.uniform(0.1, 2))
            raise ConnectionResetError("the request was lost")
        answer = caller.loop.create_future()

        def fail(error):
            if not answer.done():
                answer.set_exception(error)

        def give(task):
            error = task.exception()
            if not answer.done():
                answer.set_result(task.result()) if error is None else answer.set_exception(error)

        def answered(task):
            if task.cancelled() or faults.hit("answer cut"):
                caller.loop.call_later(faults.latency(0.01), fail, ConnectionResetError("the answer was cut"))
            else:
                caller.loop.call_later(faults.latency(0.002), give, task)

        def deliver():
            callee.loop.create_task(work()).add_done_callback(answered)

        late = faults.random.uniform(1, 12) if faults.hit("request late") else 0.0
        callee.loop.call_later(late + faults.latency(0.002), deliver)
        callee.at_death.append(
            lambda: caller.loop.call_later(faults.latency(0.01), fail, ConnectionResetError("it died"))
        )
        async with asyncio.timeout(wait_s_max):
            return await answer
