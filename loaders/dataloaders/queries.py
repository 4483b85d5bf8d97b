"""What can be told of a query before it is sent to its source: the same rules as the source has."""

from loaders.errors import QueryError
from loaders.provider import Provider
from loaders.sql.dialect import Dialect
from loaders.sql.query import read_only
from metering.http.problem import Fault, refused


def check_query(provider: Provider, query: str) -> None:
    """Refuse a query that its source would not run.

    Raises:
        ApiError: 422, in the words of whoever checks it.
    """
    try:
        _check(provider, query)
    except QueryError as error:
        raise refused_query(error) from None


def refused_query(error: Exception) -> Exception:
    """422 for what a source says of a query."""
    message = f"query: {error}"
    return refused(message, Fault("query", ("query",), message))


def _check(provider: Provider, query: str) -> None:
    """Ask the guard of the provider's dialect; what is no SQL is read by its source alone."""
    if provider in _DIALECTS:
        read_only(query, _DIALECTS[provider])


_DIALECTS = {
    Provider.POSTGRES: Dialect.POSTGRES,
    Provider.MYSQL: Dialect.MYSQL,
    Provider.BIGQUERY: Dialect.BIGQUERY,
    Provider.SNOWFLAKE: Dialect.SNOWFLAKE,
}
