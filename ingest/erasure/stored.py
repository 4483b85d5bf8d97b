"""Take the text out of the store: rows are written again without it, then merged with those that they replace.

Of rows with one key the one written last is read (`ReplacingMergeTree`), so from the first write on no question sees
the text; the merge takes it off the disk, but for the old parts, which the store drops some minutes later. A crash
anywhere is mended by doing it again.
"""

from dataclasses import dataclass

import pyarrow as pa

from ingest.erasure.redaction import Redaction
from metering.store.client import Store
from metering.store.current import Selection, seen

PAGE_ROWS = 20_000
_ERASED = "erased"

_MONTHS = "SELECT DISTINCT toYYYYMM(timestamp) FROM events WHERE {conditions} AND {seen} ORDER BY 1"
_PAGE = """
SELECT toString(account_id) AS account_id, toString(mode) AS mode, toString(event_type) AS event_type, customer_id,
       timestamp, record_id, position, record_id_is_number, properties, received_at
FROM events
WHERE {conditions} AND {seen} AND toYYYYMM(timestamp) = {{month:UInt32}} AND position >= {{first:UInt64}}
ORDER BY position
LIMIT {{page:UInt32}} WITH TIES
"""
_LETTERS = """
SELECT position, account_id, toString(mode) AS mode, reason, hex(payload) AS payload, kept_at
FROM dead_letters
WHERE ((account_id = {{account_id:String}} AND mode = {{mode:String}}) OR account_id = '') AND {seen}
"""


@dataclass(frozen=True, slots=True)
class StoredErasure:
    """The store's side of an erasure. All methods block and may be called again."""

    store: Store
    redaction: Redaction

    def events(self) -> int:
        """Erase the versions of the customer's events, and give how many had text."""
        selection = self._selection()
        asked = {"conditions": selection.conditions(), "seen": seen("position")}
        months = self.store.look_up(_MONTHS.format(**asked), selection.parameters()).column(0).to_pylist()
        return sum(self._month(month, selection, asked) for month in months)

    def dead_letters(self) -> int:
        """Erase what dead letters hold of the customer, and give how many did."""
        selection = self._selection()
        rows = self.store.look_up(_LETTERS.format(seen=seen("position")), selection.parameters())
        found = []
        for row in rows.to_pylist():
            payload = bytes.fromhex(row["payload"])
            left = self.redaction.faulty(payload, known=bool(row["account_id"]))
            if left != payload:
                found.append({**row, "payload": left, "reason": _ERASED})
        if found:
            texts = {name: pa.string() for name in ("account_id", "mode", "reason")}
            fields = [("position", pa.uint64()), *texts.items(), ("payload", pa.binary())]
            schema = pa.schema([*fields, ("kept_at", pa.timestamp("us", tz="UTC"))])
            self.store.insert("dead_letters", pa.Table.from_pylist(found, schema=schema))
            self.store.command("OPTIMIZE TABLE dead_letters FINAL")
        return len({row["position"] for row in found})

    def _month(self, month: int, selection: Selection, asked: dict[str, str]) -> int:
        sql, first, erased = _PAGE.format(**asked), 0, 0
        while True:
            parameters = {**selection.parameters(), "month": month, "first": first, "page": PAGE_ROWS}
            rows = self.store.look_up(sql, parameters)
            if not len(rows):
                break
            erased += self._rows(rows)
            first = rows.column("position")[-1].as_py() + 1
        if erased:
            self.store.command(f"OPTIMIZE TABLE events PARTITION {month:d} FINAL")
        return erased

    def _rows(self, rows: pa.Table) -> int:
        """Write again what has text; a row that was written twice may be told twice."""
        before = [properties.encode() for properties in rows.column("properties").to_pylist()]
        after = [
            self.redaction.properties(event_type, properties)
            for event_type, properties in zip(rows.column("event_type").to_pylist(), before, strict=True)
        ]
        changed = pa.array([one != other for one, other in zip(before, after, strict=True)])
        at = rows.column_names.index("properties")
        left = rows.set_column(at, "properties", pa.array(after, pa.binary())).filter(changed)
        if len(left):
            self.store.insert("events", left)
        return len(left)

    def _selection(self) -> Selection:
        redaction = self.redaction
        return Selection(redaction.world, redaction.bounds, customer_ids=sorted(redaction.identifiers))
