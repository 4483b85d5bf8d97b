"""Say where two surveyed stores differ: pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deploy.rebuild.survey import FIGURES, Survey
from metering.position import lane_of, offset_of
from metering.store.digests import Digest, Group

TOLD_MAX = 10


@dataclass(frozen=True, slots=True)
class Difference:
    """One group of one set that is not the same; None where a store has nothing of it."""

    rows: str
    group: Group
    old: Digest | None
    new: Digest | None

    def __str__(self) -> str:
        """Give the line for the operator."""
        where = f"{self.rows} of {self.group.account_id} {self.group.mode} {self.group.event_type} {self.group.month}"
        old, new = (digest[0] if digest is not None else 0 for digest in (self.old, self.new))
        return f"{where}: {old:,} rows in the store, {new:,} derived" + (", of other content" if old == new else "")


def differing(old: Survey, new: Survey) -> Iterator[Difference]:
    """Yield every group that differs, set by set."""
    for rows in new.digests:
        mine, theirs = dict(old.digests[rows]), dict(new.digests[rows])
        for group in sorted(mine.keys() | theirs.keys()):
            if mine.get(group) != theirs.get(group):
                yield Difference(rows, group, mine.get(group), theirs.get(group))


def other_differences(old: Survey, new: Survey) -> Iterator[str]:
    """Yield what differs besides rows: totals and how far lanes are applied."""
    before = {(total.aggregator_id, total.month): total for total in old.totals}
    after = {(total.aggregator_id, total.month): total for total in new.totals}
    for key in sorted(before.keys() | after.keys()):
        mine, theirs = before.get(key), after.get(key)
        if mine != theirs:
            told = [f"{each.total} of {each.count:,} events" if each else "nothing" for each in (mine, theirs)]
            yield f"aggregator {key[0]} in {key[1]}: {told[0]} in the store, {told[1]} derived"
    for lane in sorted(old.applied.keys() | new.applied.keys()):
        if old.applied.get(lane) != new.applied.get(lane):
            ends = [survey.applied.get(lane) for survey in (old, new)]
            told = ["nothing" if end is None else f"offset {offset_of(end)}" for end in ends]
            yield f"applied of lane {lane}: up to {told[0]} in the store, {told[1]} derived"


def row_differences(
    difference: Difference, old: Sequence[tuple[str, int, int]], new: Sequence[tuple[str, int, int]]
) -> Iterator[str]:
    """Yield the first rows that one store has and the other has not, or has with other content."""
    mine = {(record_id, position): hashed for record_id, position, hashed in old}
    theirs = {(record_id, position): hashed for record_id, position, hashed in new}
    found = [
        key for key in sorted(mine.keys() | theirs.keys(), key=lambda key: key[1]) if mine.get(key) != theirs.get(key)
    ]
    for record_id, position in found[:TOLD_MAX]:
        key = record_id, position
        how = "only in the store" if key not in theirs else "only derived" if key not in mine else "of other content"
        yield f"record {record_id!r} at lane {lane_of(position)}, offset {offset_of(position)}: {how}"
    if len(found) > TOLD_MAX:
        yield f"… and {len(found) - TOLD_MAX:,} more rows of {difference.rows}"


def same_figures(differences: Sequence[Difference]) -> bool:
    """Tell whether no figure differs, whatever rows do."""
    return not any(difference.rows == FIGURES for difference in differences)
