from hypothesis import given
from hypothesis import strategies as st

from ingest.consumer.decide import decide, decide_singly
from metering.store.columns import current_versions_of, versions_of
from metering.store.versions import CurrentVersion, Key
from metering.world import Mode, World
from tests.builders import a_version

WORLD = World("acc", Mode.TEST)


def known_as(version, *, deleted=False):
    return {
        version.key: CurrentVersion(
            version.key_hash, version.position, version.timestamp_us, version.customer_id, version.content_hash, deleted
        )
    }


def decided(arrivals, known=None):
    """Positions accepted, pairs of (loser, lost at), and positions left current."""
    verdict = decide(versions_of(arrivals), current_versions_of(known or {}))
    positions = verdict.versions.position
    return (
        positions.tolist(),
        [(lost.position, lost.lost_at) for lost in verdict.superseded],
        positions[verdict.current].tolist(),
    )


def test_a_new_key_is_accepted():
    """There is nothing to lose to."""
    assert decided([a_version(WORLD, 1)]) == ([1], [], [1])


def test_a_later_timestamp_supersedes_at_its_own_position():
    """The older version loses at the moment at which the newer one came in."""
    old, new = a_version(WORLD, 1), a_version(WORLD, 5, timestamp_us=a_version(WORLD, 1).timestamp_us + 1)
    assert decided([new], known_as(old)) == ([5], [(1, 5)], [5])


def test_an_earlier_timestamp_is_stored_and_lost_at_once():
    """A version that arrives beaten is kept for the record, superseded at its own position."""
    current, late = a_version(WORLD, 1, timestamp_us=9), a_version(WORLD, 5, timestamp_us=8)
    assert decided([late], known_as(current)) == ([5], [(5, 5)], [])


def test_of_equal_timestamps_the_last_received_wins():
    """A correction need not change the timestamp."""
    assert decided([a_version(WORLD, 5, properties=b"{}")], known_as(a_version(WORLD, 1))) == ([5], [(1, 5)], [5])


def test_a_version_equal_to_the_current_one_is_dropped():
    """A re-send costs no row."""
    assert decided([a_version(WORLD, 5)], known_as(a_version(WORLD, 1))) == ([], [], [])
    assert decided([a_version(WORLD, 1), a_version(WORLD, 2)]) == ([1], [], [1])


def test_a_changed_customer_is_a_change():
    """The same content for another customer moves the usage."""
    moved = a_version(WORLD, 5, customer_id="cus_2")
    assert decided([moved], known_as(a_version(WORLD, 1))) == ([5], [(1, 5)], [5])


def test_what_the_index_has_passed_is_skipped():
    """An arrival at or before the known position was applied before: its rows exist."""
    arrivals = [a_version(WORLD, 4, properties=b"1"), a_version(WORLD, 5, properties=b"2")]
    assert decided(arrivals, known_as(arrivals[1])) == ([], [], [])


def test_a_version_after_a_deletion_starts_anew():
    """Even with an older timestamp, and with nothing superseded."""
    buried = known_as(a_version(WORLD, 5, timestamp_us=9), deleted=True)
    assert decided([a_version(WORLD, 6, timestamp_us=1)], buried) == ([6], [], [6])
    assert decided([a_version(WORLD, 4)], buried) == ([], [], [])


def test_a_chain_within_one_batch_is_written_whole():
    """Each link loses to the next; only the last goes into the index."""
    chain = [a_version(WORLD, position, properties=b"%d" % position) for position in (1, 2, 3)]
    assert decided(chain) == ([1, 2, 3], [(1, 2), (2, 3)], [3])


def test_two_keys_of_one_hash_stay_two_keys():
    """The hash only finds a key; the whole key decides."""
    one = a_version(WORLD, 1, record_id="a")
    other = a_version(WORLD, 2, record_id="b")
    same_hash = type(other)(**{name: getattr(other, name) for name in other.__slots__} | {"key_hash": one.key_hash})
    assert decided([one, same_hash]) == ([1, 2], [], [1, 2])
    assert decided([same_hash], known_as(one)) == ([2], [], [2])


ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from("abcdef"), st.integers(1, 4), st.sampled_from(["c1", "c2"]), st.sampled_from([b"x", b"y"])
    ),
    max_size=30,
)
KNOWN = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.integers(0, 40), st.integers(1, 4), st.sampled_from([b"x", b"y"]), st.booleans()),
)


def arrivals_of(rows):
    return [
        a_version(WORLD, 10 + index, record_id=key, timestamp_us=timestamp, customer_id=customer, properties=content)
        for index, (key, timestamp, customer, content) in enumerate(rows)
    ]


def known_of(rows):
    known = {}
    for key, (position, timestamp, content, deleted) in rows.items():
        version = a_version(
            WORLD, position, record_id=key, timestamp_us=timestamp, customer_id="c1", properties=content
        )
        known |= known_as(version, deleted=deleted)
    return known


@given(ARRIVALS, KNOWN)
def test_the_way_by_columns_and_the_way_one_by_one_agree(rows, known_rows):
    """Setting the uncontested keys apart changes nothing."""
    arrivals, known = arrivals_of(rows), known_of(known_rows)
    accepted, superseded, current = decide_singly(range(len(arrivals)), arrivals, known)
    stored, lost, left = decided(arrivals, known)
    assert stored == [arrivals[row].position for row in accepted]
    assert lost == [(row.position, row.lost_at) for row in superseded]
    assert sorted(left) == sorted(arrivals[row].position for row in current)


@given(ARRIVALS, st.data())
def test_where_a_batch_is_cut_makes_no_difference(rows, data):
    """Two batches lead to the rows of one, and so does a second look at the first."""
    arrivals = arrivals_of(rows)
    cut = data.draw(st.integers(0, len(arrivals)))
    whole = decided(arrivals)
    first = decide(versions_of(arrivals[:cut]), current_versions_of({}))
    index: dict[Key, CurrentVersion] = {}
    for row in first.versions.take(first.current).rows():
        index |= known_as(row)
    overlap = data.draw(st.integers(0, cut))
    second = decide(versions_of(arrivals[overlap:]), current_versions_of(index))
    stored = {*first.versions.position.tolist(), *second.versions.position.tolist()}
    lost = {(row.position, row.lost_at) for verdict in (first, second) for row in verdict.superseded}
    assert stored == set(whole[0])
    assert lost == set(whole[1])
