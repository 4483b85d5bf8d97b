"""Ways in which a consumer's filter of seen keys may come to be wrong: each puts one in place of what is there.

`older` is a copy from some batches before, `other` one that was filled with other keys.
"""

import copy

import numpy as np

from ingest.consumer.seen import SeenKeys

ALL_ONES = np.uint64((1 << 64) - 1)


def all_zeros(look_up, _older, _other):
    look_up._seen._lines[:] = 0


def all_ones(look_up, _older, _other):
    look_up._seen._lines[:] = ALL_ONES


def older_bits(look_up, older, _other):
    look_up._seen._lines[:] = older._lines


def older_bits_and_checks(look_up, older, _other):
    look_up._seen._lines[:] = older._lines
    look_up._seen._checks[:] = older._checks


def older_pages(look_up, older, _other):
    """Some pages, with the checks that belong to them."""
    look_up._seen._lines[::2] = older._lines[::2]
    look_up._seen._checks[::2] = older._checks[::2]


def older_copy(look_up, older, _other):
    look_up._seen = copy.deepcopy(older)


def older_copy_that_claims_to_be_new(look_up, older, _other):
    read_to = look_up._seen.read_to
    older_copy(look_up, older, _other)
    look_up._seen.read_to = read_to


def empty_one(look_up, _older, _other):
    look_up._seen = SeenKeys(read_to=look_up._seen.read_to)


def one_of_other_keys(look_up, _older, other):
    read_to = look_up._seen.read_to
    look_up._seen = copy.deepcopy(other)
    look_up._seen.read_to = read_to


def bits_flipped(look_up, _older, _other):
    """In a fourth of all words, one bit each."""
    random = np.random.default_rng(1)
    words = look_up._seen._lines.reshape(-1)
    hit = random.random(len(words)) < 0.25
    words[hit] ^= np.uint64(1) << random.integers(0, 64, int(hit.sum()), np.uint64)


def pages_zeroed(look_up, _older, _other):
    look_up._seen._lines[1::2] = 0


WRONG = (
    all_zeros,
    all_ones,
    older_bits,
    older_bits_and_checks,
    older_pages,
    older_copy,
    older_copy_that_claims_to_be_new,
    empty_one,
    one_of_other_keys,
    bits_flipped,
    pages_zeroed,
)
