"""What a message looks like, for good: logs are kept."""

import struct

import pytest

from ingest.wire import Kind, Section, WireError, decode, encode
from metering.world import Mode, World

PLAIN = Section(World("acc_1", Mode.PROD), Kind.EVENTS, 1_700_000_000_000_000, 2, b"[{},{}]")
TRACED = Section(World("acc_2", Mode.TEST), Kind.DELETION, 5, 1, b"{}", bytes(range(25)))


def test_a_section_without_a_trace_is_what_it_always_was():
    """Byte for byte: older releases read it."""
    head = struct.pack("<BBBBIQI", 1, 1, 1, 5, 2, 1_700_000_000_000_000, 7)
    assert encode([PLAIN]) == head + b"acc_1[{},{}]"


def test_sections_with_and_without_a_trace_share_messages():
    """Each comes back as it was."""
    assert list(decode(encode([PLAIN, TRACED, PLAIN]))) == [PLAIN, TRACED, PLAIN]


@pytest.mark.parametrize("section", [PLAIN, TRACED])
def test_a_section_cut_short_is_told(section):
    """At whichever byte."""
    payload = encode([section])
    for size in range(1, len(payload)):
        with pytest.raises(WireError, match="cut short"):
            list(decode(payload[:size]))


@pytest.mark.parametrize("version", [0, 3, 255])
def test_a_format_that_is_not_known_is_told(version):
    """Nothing is guessed."""
    with pytest.raises(WireError, match=f"message format {version} at byte 0: this release reads formats 1 to 2"):
        list(decode(bytes([version]) + encode([PLAIN])[1:]))
