"""Addresses, lists and who may try again."""

from urllib.parse import unquote

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.pages.attempts import ADDRESSES_MAX, FAILURES_MAX, WINDOW_S, Attempts
from deploy.pages.lists import PAGES_MAX, ROWS, list_page
from deploy.pages.origin import local_path
from deploy.pages.paths import event_path

unhurried = settings(deadline=None)


@unhurried
@given(st.text(min_size=1).filter(lambda text: text not in {".", ".."}))
def test_an_address_names_the_event(text):
    """Two segments, whatever the ids hold."""
    event_type, record_id = event_path(text, text).removeprefix("/events/").split("/")
    assert unquote(event_type) == unquote(record_id) == text


@unhurried
@given(st.text())
def test_a_path_to_go_on_to_stays_here(text):
    """It begins with one slash, and holds nothing that a browser might read as another place."""
    path = local_path(text)
    assert path.startswith("/")
    assert not path.startswith(("//", "/\\"))
    assert path.isascii()
    assert path.isprintable()


def test_failures_are_forgotten_in_time():
    """The wait ends, and a success in between costs nobody anything."""
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(FAILURES_MAX):
        assert attempts.wait_s("1.2.3.4") == 0
        attempts.failed("1.2.3.4")
    assert attempts.wait_s("1.2.3.4") > 0
    assert attempts.wait_s("5.6.7.8") == 0
    now[0] = WINDOW_S
    assert attempts.wait_s("1.2.3.4") == 0
    attempts.failed("1.2.3.4")
    assert attempts.wait_s("1.2.3.4") == 0


def test_many_addresses_cost_bounded_memory():
    """The one that failed first is forgotten first."""
    attempts = Attempts(lambda: 0.0)
    for address in range(ADDRESSES_MAX + 5):
        attempts.failed(str(address))
    assert len(attempts._by_address) == ADDRESSES_MAX


def test_a_list_ends_where_it_is_bounded():
    """Past the last page that is served, the list says how to see the rest."""
    last = list_page("/events", {}, PAGES_MAX, ROWS, 1_000_000)
    assert last.following == ""
    assert "narrow the filters" in last.summary
    assert list_page("/events", {"a": "b&c"}, 1, ROWS, ROWS + 1).following == "/events?a=b%26c&page=2"
    assert list_page("/events", {}, 1, 0, 0).summary == "0 of 0"
