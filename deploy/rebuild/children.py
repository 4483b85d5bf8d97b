"""Run one step in a process of its own, and hear how far it is."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from deploy.rebuild.steps import Step


class StepError(Exception):
    """A step could not be done; the message is one clear line."""


def run_step(step: Step, fds: Sequence[int], progress: Callable[[int, int], None] = lambda _done, _of: None) -> None:
    """Run a step to its end; `progress` hears offsets that are done and how many there are.

    `fds` are inherited: the data folder stays locked for as long as the child lives.

    Raises:
        StepError: it failed, and why.
    """
    secret = step.config.registry_url  # May hold a password, and every user of the machine may read arguments.
    told_to_all = msgspec.structs.replace(step, config=msgspec.structs.replace(step.config, registry_url=""))
    command = [sys.executable, "-m", "deploy.rebuild.steps", msgspec.json.encode(told_to_all).decode()]
    reason = "it ended without a word"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=fds) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with suppress(BrokenPipeError):  # It ended already; why, is told below.
            child.stdin.write(f"{secret}\n".encode())
            child.stdin.flush()
        for line in child.stdout:
            told = msgspec.json.decode(line)
            if "error" in told:
                reason = told["error"]
            else:
                progress(told["offsets"], told["of"])
        code = child.wait()
    if code:
        raise StepError(reason)
