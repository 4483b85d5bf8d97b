"""What a choice in a form offers: the value that is sent, and the words for it."""

from collections.abc import Iterable
from typing import Any

WORDS_MAX = 60


def options(values: Iterable[str]) -> list[tuple[str, str]]:
    """Offer values by their own names, `pay_in_full` as “pay in full”."""
    return [(value, value.replace("_", " ")) for value in values]


def named_options(things: Iterable[Any]) -> list[tuple[str, str]]:
    """Offer things that have an `id` and a `name`."""
    return [(thing.id, str(thing.name)[:WORDS_MAX]) for thing in things]
