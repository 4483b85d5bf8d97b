"""The oracle's verdict: hold the store, the answers and the receipts of a run against the final log."""

from collections import Counter

from ingest.wire import Kind
from metering.position import pack
from metering.world import Mode, World
from tests.simulation import oracle
from tests.simulation.installation import Installation, stored_of
from tests.simulation.registry import known_ids, lane_table


def _wanted(world: World, told: oracle.Told) -> tuple:
    return (
        world,
        told.event_type,
        told.record_id,
        told.id_is_number,
        told.customer_id,
        told.timestamp_us,
        b'{"amount":%s}' % str(told.amount.normalize()).encode(),
    )


def verdict(installation: Installation) -> str | None:
    """Hold the store, the answers and the receipts against the final log."""
    parts = [
        part
        for partition, payloads in enumerate(installation.payloads())
        for part in oracle.parts_of(partition, payloads)
    ]
    table = lane_table()
    lanes = {partition: lane for (_, partition), lane in table.items()}
    if len(lanes) != len(table) or len(set(lanes.values())) != len(lanes):
        return f"lanes are not one for each partition: {table}"
    facts = oracle.walk(parts, lanes)
    rows = installation.tables.facts
    wanted = {position: _wanted(*stored) for position, stored in facts.stored.items()}
    found = {position: stored_of(version.key, version) for position, version in rows.events.items()}
    lost: dict[int, int] = {}
    for position, lost_at in sorted(rows.superseded):
        if lost.setdefault(position, lost_at) != lost_at:
            return f"{oracle.place(position)} lost at {oracle.place(lost[position])} and {oracle.place(lost_at)}"
    letters = installation.tables.letters
    for fault in (
        oracle.difference("versions", found, wanted),
        oracle.difference("losses", lost, facts.lost),
        oracle.difference("dead letters", dict.fromkeys(letters), dict.fromkeys(facts.dead)),
        _snapshots_fault(installation, facts),
        _receipts_fault(installation, parts),
        _answers_fault(installation, facts, lanes),
    ):
        if fault:
            return fault
    nameless = facts.named - {(World(world.account_id, Mode(world.mode)), name) for world, name in known_ids()}
    return f"customers were not made: {sorted(map(str, nameless))}" if nameless else None


def _snapshots_fault(installation: Installation, facts: oracle.Facts) -> str | None:
    """Read each cut-off again, and ask the model."""
    for cutoff, seen in installation.snapshots:
        if (again := installation.figures(cutoff)) != seen:
            return oracle.difference(f"read again at {cutoff.encode()}", again, seen)
        current = {position: _wanted(*stored) for position, stored in facts.current(cutoff.bounds).items()}
        if seen != current:
            return oracle.difference(f"read at {cutoff.encode()}", seen, current)
    return None


def _receipts_fault(installation: Installation, parts: list[oracle.Part]) -> str | None:
    """Look at the place that each receipt names."""
    at = {(part.partition, part.offset, part.index): part for part in parts}
    partitions = len(installation.payloads())
    for section, receipt in installation.receipts:
        if installation.spool_disk is not None and section.kind is Kind.EVENTS and not receipt.offsets:
            continue  # It was spooled: whether it came to the log is told by how often it lies there.
        if section.kind is Kind.DELETION and len(receipt.offsets) != partitions:
            return f"a deletion went to {len(receipt.offsets)} of {partitions} partitions: {section.body!r}"
        bodies = []
        for partition, (offset, index) in receipt.offsets.items():
            part = at.get((partition, offset, index))
            if part is None or part.world != section.world or part.is_deletion != (section.kind is Kind.DELETION):
                return f"acknowledged, and not at {partition}/{offset}/{index}: {section.body!r}"
            bodies.append(part.body)
        if section.kind is Kind.DELETION or len(bodies) == 1:
            same = all(body == section.body for body in bodies)
        else:
            told = [each for body in bodies for each in oracle.told_of(body)]
            same = sorted(map(str, told)) == sorted(map(str, oracle.told_of(section.body)))
        if not same:
            return f"acknowledged {section.body!r}, and in the log is {bodies}"
    return None


def _answers_fault(installation: Installation, facts: oracle.Facts, lanes: dict[int, int]) -> str | None:
    """Hold the answers of clients against the log: what was taken is there, and nothing else is."""
    taken = _times([each.sending for each in installation.acknowledged])
    tried = _times(installation.attempts)
    for event, times in taken.items():
        if facts.times[event] < times:
            return f"acknowledged {times} times, {facts.times[event]} times in the log: {event}"
    for event, times in facts.times.items():
        # What is spooled is sent once more than it was tried, and again whenever forwarding is cut off.
        may = tried[event] if installation.spool_disk is None or not tried[event] else times
        if event[1].timestamp_us is not None and times > may:
            return f"sent {tried[event]} times, {times} times in the log: {event}"
    for each in installation.acknowledged:
        if each.sending.method == "DELETE":
            places = [place for _, receipt in each.receipts for place in receipt.offsets.items()]
            count = sum(facts.taken[pack(lanes[partition], *where)] for partition, where in places)
            if int(each.answer.body) != count:
                return f"{each.sending.body!r} retracted {count}, and was said to retract {int(each.answer.body)}"
    return None


def _times(sendings) -> Counter:
    return Counter(
        (sending.world, *oracle.told_of(b"[" + event + b"]")) for sending in sendings for event in sending.events
    )
