"""Keys are read strictly, and their file is private, whole, and read again when it changes."""

import stat

import pytest

from loaders.secrets.errors import KeyMissingError, KeysError
from loaders.secrets.key_file import add_key, drop_keys, make_key_file
from loaders.secrets.keys import KeyFile, new_key, parse_keys

GOOD = new_key()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no key"),
        ("c2VjcmV0", "id:base64"),
        ("k1:", "0 bytes"),
        ("k1:c2VjcmV0", "6 bytes"),
        ("k1:not base64!", "no base64"),
        ("k 1:GOOD", "id:base64"),
        ("GOOD,GOOD", "alike"),
        ("k1:" + "A" * 43 + "=", "over and over"),
    ],
)
def test_a_bad_key_is_refused_in_words_that_hold_none_of_it(text, told):
    with pytest.raises(KeysError, match=told) as refusal:
        parse_keys(text.replace("GOOD", GOOD.text), "METERLINE_SECRETS_KEY")
    assert "METERLINE_SECRETS_KEY" in str(refusal.value)
    assert "c2VjcmV0" not in str(refusal.value)


def test_keys_come_with_commas_or_lines_and_the_first_is_the_newest():
    other = new_key()
    for separator in (",", "\n", ", "):
        assert parse_keys(f"{GOOD.text}{separator}{other.text}\n", "here") == [GOOD, other]


def test_the_file_is_made_once_and_private(tmp_path):
    path = tmp_path / "secrets.key"
    assert make_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = KeyFile(path).newest()
    assert not make_key_file(path)
    assert KeyFile(path).newest() == first
    assert [one.name for one in tmp_path.iterdir()] == ["secrets.key"]


def test_a_running_process_knows_a_key_that_is_added(tmp_path):
    path = tmp_path / "secrets.key"
    make_key_file(path)
    running = KeyFile(path)
    first = running.newest()
    fresh = add_key(path)
    assert running.newest() == fresh
    assert running.named(first.id) == first
    drop_keys(path, {first.id, fresh.id})
    assert running.newest() == fresh
    with pytest.raises(KeyMissingError):
        running.named(first.id)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_missing_file_is_told_with_the_remedy(tmp_path):
    with pytest.raises(KeysError, match="METERLINE_SECRETS_KEY_FILE"):
        KeyFile(tmp_path / "gone").newest()
