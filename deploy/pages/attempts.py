"""Bound how often one address may try keys in vain.

Keys have 190 random bits, so nobody guesses one; this keeps a script that tries from occupying the registry. Only
failures count, and only in this process: people who share an address behind a proxy do not lock each other out by
signing in.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FAILURES_MAX = 20
WINDOW_S = 60.0
ADDRESSES_MAX = 10_000


@dataclass(slots=True)
class _Failures:
    since_s: float
    count: int = 0


class Attempts:
    """Failed sign-ins by address. `monotonic` gives seconds that never go back."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._by_address: OrderedDict[str, _Failures] = OrderedDict()

    def wait_s(self, address: str) -> int:
        """Give how many seconds this address must wait before its next try; 0 when it may try now."""
        failures = self._by_address.get(address)
        if failures is None:
            return 0
        left = failures.since_s + WINDOW_S - self._monotonic()
        return 0 if failures.count < FAILURES_MAX or left <= 0 else int(left) + 1

    def failed(self, address: str) -> None:
        """Count a failure. Beyond `ADDRESSES_MAX` the address that failed first is forgotten."""
        now = self._monotonic()
        failures = self._by_address.get(address)
        if failures is None or now - failures.since_s >= WINDOW_S:
            failures = self._by_address[address] = _Failures(now)
            self._by_address.move_to_end(address)
        failures.count += 1
        if len(self._by_address) > ADDRESSES_MAX:
            self._by_address.popitem(last=False)
