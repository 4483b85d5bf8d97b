"""When messages were taken: the unit that every log stamps them in."""

import time


def now_us() -> int:
    """Give microseconds since 1970 UTC."""
    return time.time_ns() // 1000
