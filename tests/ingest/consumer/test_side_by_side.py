import asyncio

import pytest

from ingest.consumer.side_by_side import until_one_fails


async def fails(when):
    await when.wait()
    raise OSError("gone")


async def fails_when_told_to_stop():
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise OSError("gone meanwhile") from None


async def test_one_that_fails_stops_the_others():
    """And its fault is told, with those of the others."""
    now = asyncio.Event()
    now.set()
    told = await until_one_fails(fails(now), fails_when_told_to_stop())
    assert [str(one) for one in told] == ["gone", "gone meanwhile"]


async def test_what_is_told_to_stop_stops_though_something_fails_at_that_moment():
    """Before the others are told, and while they stop."""
    now = asyncio.Event()
    running = asyncio.create_task(until_one_fails(fails(now), fails_when_told_to_stop()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    now.set()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
