"""What is kept secret opens in its place alone, with its key alone."""

import pytest

from loaders.secrets.envelope import Place, key_id_of, rewrap, seal, unseal
from loaders.secrets.errors import KeyMissingError, KeysError, SecretDamagedError
from loaders.secrets.keys import GivenKeys, NoKeys, new_key, parse_keys
from metering.world import Mode, World

OLD, NEW = new_key(), new_key()
HERE = Place(World("acc_1", Mode.TEST), "con_1")
SECRET = b"postgres://u:hunter2@db/usage"


def keyring(*keys):
    return GivenKeys(keys, "the test")


@pytest.mark.parametrize(
    "elsewhere",
    [
        Place(World("acc_2", Mode.TEST), "con_1"),
        Place(World("acc_1", Mode.PROD), "con_1"),
        Place(World("acc_1", Mode.TEST), "con_2"),
    ],
)
def test_a_secret_copied_to_another_account_mode_or_row_does_not_open(elsewhere):
    sealed = seal(SECRET, HERE, keyring(OLD))
    assert unseal(sealed, HERE, keyring(OLD)) == SECRET
    with pytest.raises(SecretDamagedError):
        unseal(sealed, elsewhere, keyring(OLD))
    with pytest.raises(SecretDamagedError):
        rewrap(sealed, elsewhere, keyring(NEW, OLD))


def test_every_changed_character_is_noticed():
    sealed = seal(SECRET, HERE, keyring(OLD))
    start = sealed.index(".", 2) + 1
    for at in range(start, len(sealed)):
        changed = sealed[:at] + ("A" if sealed[at] != "A" else "g") + sealed[at + 1 :]
        with pytest.raises(SecretDamagedError):
            unseal(changed, HERE, keyring(OLD))


def test_the_parts_of_two_secrets_cannot_be_mixed():
    one, other = (seal(SECRET, HERE, keyring(OLD)).split(".") for _ in range(2))
    with pytest.raises(SecretDamagedError):
        unseal(".".join([*one[:3], other[3]]), HERE, keyring(OLD))


def test_the_same_secret_is_never_the_same_text():
    assert seal(SECRET, HERE, keyring(OLD)) != seal(SECRET, HERE, keyring(OLD))


def test_the_first_key_encrypts_and_all_decrypt():
    before = seal(SECRET, HERE, keyring(OLD))
    both = keyring(NEW, OLD)
    assert unseal(before, HERE, both) == SECRET
    after = rewrap(before, HERE, both)
    assert key_id_of(after) == NEW.id
    assert unseal(after, HERE, keyring(NEW)) == SECRET
    assert after.split(".")[3] == before.split(".")[3], "the secret itself is not encrypted anew"
    assert rewrap(after, HERE, both) == after


def test_a_missing_key_is_named_with_the_remedy():
    sealed = seal(SECRET, HERE, keyring(OLD))
    with pytest.raises(KeyMissingError, match=f"{OLD.id}.*the test"):
        unseal(sealed, HERE, keyring(NEW))
    with pytest.raises(KeysError, match="set METERLINE"):
        seal(SECRET, HERE, NoKeys("set METERLINE_SECRETS_KEY"))


def test_another_key_of_the_same_id_does_not_open_it():
    sealed = seal(SECRET, HERE, keyring(OLD))
    other = parse_keys(f"{OLD.id}:{NEW.text.partition(':')[2]}", "the test")
    with pytest.raises(SecretDamagedError, match="same id"):
        unseal(sealed, HERE, keyring(*other))


@pytest.mark.parametrize("text", ["", "1.k1.AAAA", "2.k1.AAAA.AAAA", "1.k1.??.AAAA", "1..AAAA.AAAA", "nonsense"])
def test_what_is_no_sealed_secret_is_damaged(text):
    with pytest.raises((SecretDamagedError, KeyMissingError)):
        unseal(text, HERE, keyring(OLD))


def test_nothing_of_a_key_or_secret_is_in_a_repr():
    for key in (OLD, keyring(OLD)):
        assert OLD.text.partition(":")[2] not in repr(key)
    assert repr(OLD.key) not in repr(OLD)
