"""What changed from one version of an event to the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from deploy.pages.clock_text import clock_time
from deploy.pages.records import Property, properties_of
from metering.store.explorer import StoredEvent, VersionHistory


class Kind(StrEnum):
    """How a field stands against the version before."""

    SAME = "same"
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


SIGNS = {Kind.SAME: "", Kind.ADDED: "+", Kind.REMOVED: "\N{MINUS SIGN}", Kind.CHANGED: "≠"}


@dataclass(frozen=True, slots=True)
class Change:
    """One field. `before` and `after` are None where there is none."""

    name: str
    before: Property | None
    after: Property | None

    @property
    def kind(self) -> Kind:
        """Tell whether it was added, removed or changed."""
        if self.before is None:
            return Kind.ADDED
        if self.after is None:
            return Kind.REMOVED
        return Kind.SAME if self.before == self.after else Kind.CHANGED

    @property
    def sign(self) -> str:
        """Give the sign that stands before the line, since colour alone tells not everybody."""
        return SIGNS[self.kind]


@dataclass(frozen=True, slots=True)
class ShownVersion:
    """A version with its fields against those of the one received before it; the first has nothing to differ from."""

    history: VersionHistory
    changes: Sequence[Change]
    is_first: bool

    @property
    def changed(self) -> int:
        """Give how many fields differ."""
        return sum(change.kind is not Kind.SAME for change in self.changes)


def shown_versions(histories: Sequence[VersionHistory]) -> list[ShownVersion]:
    """Give the versions, last received first, each compared with the one received before it."""
    if not histories:
        return []
    first = [Change(field.name, field, field) for field in _fields(histories[0].event)]
    shown = [ShownVersion(histories[0], first, is_first=True)]
    shown += [
        ShownVersion(after, compare(before.event, after.event), is_first=False) for before, after in pairwise(histories)
    ]
    return shown[::-1]


def compare(before: StoredEvent, after: StoredEvent) -> list[Change]:
    """Give every field of either, those of `after` in their order, then what was removed."""
    old = {field.name: field for field in _fields(before)}
    new = {field.name: field for field in _fields(after)}
    names = [*new, *(name for name in old if name not in new)]
    return [Change(name, old.get(name), new.get(name)) for name in names]


def _fields(event: StoredEvent) -> list[Property]:
    """Give all that makes a version: customer and timestamp, then the record; its properties are named `record.x`."""
    record = [Property(f"record.{field.name}", field.text, field.kind) for field in properties_of(event.record)]
    return [
        Property("customer_id", event.customer_id, "text"),
        Property("timestamp", clock_time(event.timestamp_us), "time"),
        *record,
    ]
