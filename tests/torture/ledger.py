"""Who was told what: the history of every key as its clients know it, and what may be true of it then.

A client that got no answer does not know whether its request arrived, nor when: a gateway that was stalled may put it
into the log after later ones. For most keys that changes nothing, since the latest timestamp wins whatever the order.
Where it matters (equal timestamps, a deletion before), every outcome is named that the promise allows, and the product
must show one of them, everywhere the same.
"""

from collections import defaultdict
from dataclasses import dataclass

from tests.pipeline.plain_model import PlainModel


@dataclass(slots=True)
class Entry:
    """An event, or None for a deletion; `unclear` when an attempt before the one acknowledged had no answer."""

    event: object
    unclear: bool


class Ledger:
    """All that was acknowledged. Keys of one sender are received in its order; `shared` ones only ever get versions
    of different timestamps and no deletion, so their order does not matter."""

    def __init__(self):
        self.model = PlainModel()
        self.histories = defaultdict(list)
        self.shared = set()
        self.acknowledged = 0

    def receive(self, event, *, unclear):
        """An event was answered 2xx."""
        self.acknowledged += 1
        self.histories[event.name].append(Entry(event, unclear))
        self.model.receive(event.plain)

    def retract(self, names, *, unclear):
        """A deletion was answered; its keys are not used again when that took more than one attempt."""
        for name in names:
            self.histories[name].append(Entry(None, unclear))
        self.model.retract(names)

    def outcomes(self, name):
        """Every version that may be current, None for none; one alone for most keys."""
        history = self.histories[name]
        deletions = [at for at, entry in enumerate(history) if entry.event is None]
        last = deletions[-1] if deletions else -1
        normal = None
        for entry in history[last + 1 :]:
            if normal is None or entry.event.timestamp >= normal.timestamp:
                normal = entry.event
        late = {
            entry.event
            for entry in history
            if entry.event is not None
            and entry.unclear
            and (normal is None or entry.event.timestamp >= normal.timestamp)
        }
        return {normal} | late

    def uncertain(self):
        """The keys with more than one outcome."""
        return [name for name in self.histories if len(self.outcomes(name)) > 1]

    def told(self, name):
        """Every version that was sent, without order or repetition."""
        return {entry.event for entry in self.histories[name] if entry.event is not None}

    def chain(self, name):
        """The versions as they are kept: [event, number of the version that superseded it or None, deleted?].

        None when an attempt without an answer may have repeated one, or order is not known.
        """
        history = self.histories[name]
        if name in self.shared or any(entry.unclear for entry in history):
            return None
        kept, current = [], None
        for entry in history:
            if entry.event is None:
                if current is not None:
                    kept[current][2] = True
                current = None
            elif current is None:
                kept.append([entry.event, None, False])
                current = len(kept) - 1
            elif entry.event != kept[current][0]:
                kept.append([entry.event, None, False])
                if entry.event.timestamp >= kept[current][0].timestamp:
                    kept[current][1] = len(kept)
                    current = len(kept) - 1
                else:
                    kept[-1][1] = current + 1
        return kept
