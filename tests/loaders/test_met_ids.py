"""Ids of a run are told apart exactly, whatever their hashes do."""

import random

import pytest

from loaders import met_ids
from loaders.met_ids import MetIds


def plainly(rows):
    """What must come out: the first customer of each id has it."""
    owners: dict[str, str] = {}
    return [index for index, (identity, whose) in enumerate(rows) if owners.setdefault(identity, whose) != whose]


def told(folder, rows, page):
    with MetIds(folder) as met:
        wrong = []
        for start in range(0, len(rows), page):
            ids, customers = zip(*rows[start : start + page], strict=True)
            wrong += [start + index for index in met.meet(list(ids), list(customers))]
        return wrong


def quoted(number):
    return f'"{number}"'


@pytest.mark.parametrize("page", [1, 7, 500])
def test_what_is_told_is_what_a_dictionary_would_tell(tmp_path, page):
    random.seed(page)
    rows = [(quoted(random.randrange(300)), quoted(f"cus_{random.randrange(3)}")) for _ in range(2000)]
    assert told(tmp_path, rows, page) == plainly(rows)


@pytest.mark.parametrize("mask", [0, 0b111, (1 << 24) - 1, -(1 << 40), -(1 << 61)])
def test_hashes_that_meet_change_nothing(tmp_path, monkeypatch, mask):
    """Be it all of their bits, or those that choose a line: every line is full, and overflows into the next."""
    monkeypatch.setattr(met_ids, "hash", lambda text: hash(text) & mask, raising=False)
    random.seed(mask)
    rows = [(quoted(random.randrange(150)), quoted(f"cus_{random.randrange(2)}")) for _ in range(700)]
    assert told(tmp_path, rows, 50) == plainly(rows)


def test_it_grows_and_forgets_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(met_ids, "_FIRST_SLOTS", 64)
    monkeypatch.setattr(met_ids, "_SECOND_SLOTS", 64)
    rows = [(quoted(number), quoted("é" * 200)) for number in range(3000)]
    assert told(tmp_path, [*rows, *((identity, quoted("b")) for identity, _ in rows)], 100) == [*range(3000, 6000)]


def test_numbers_are_the_same_by_value_and_as_text(tmp_path):
    with MetIds(tmp_path) as met:
        assert met.meet(["1.50", "7", '"a"'], ['"a"'] * 3) == []
        assert met.meet(["1.5", '"7"', '"1.50"'], ['"b"'] * 3) == [0, 1]
