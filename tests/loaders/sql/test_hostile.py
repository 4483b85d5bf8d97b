"""Hostile queries are refused, each of them, by the guard alone."""

import pytest

from loaders.errors import QueryError
from loaders.sql.query import Dialect, read_only
from tests.loaders.sql.hostile import HOSTILE


@pytest.mark.parametrize("dialect", list(Dialect))
def test_every_hostile_query_is_refused(dialect):
    """With a message, and with nothing but a QueryError."""
    assert [query for query in HOSTILE[dialect] if not _refusal(query, dialect)] == []


def _refusal(query, dialect):
    try:
        read_only(query, dialect)
    except QueryError as refused:
        return str(refused)
    return None


def test_there_are_enough_of_them():
    """The list is not cut by an accident: 150 in all are promised, and there are more for each that runs them."""
    assert sum(len(set(queries)) for queries in HOSTILE.values()) >= 150
    assert len(set(HOSTILE[Dialect.POSTGRES])) >= 100
    assert len(set(HOSTILE[Dialect.MYSQL])) >= 100
