"""What can go wrong with somebody else's database, by what the caller should do. Messages are for the user to read.

SourceError
+-- SourceUnavailableError  wait and do it again: not reached, cut off, too busy
+-- SourceDeniedError       the user has to look: a wrong password, a right that is missing, a host that is not allowed
+-- QueryError              the user has to look: the query, or what it returns
    +-- QueryTimeoutError   it took longer than a query may
    +-- QueryCancelledError it was cancelled by us

A message gives the database's own words where there are any, and never a password.
"""


class SourceError(Exception):
    """The root of what sources raise; nothing of a driver comes through."""


class SourceUnavailableError(SourceError):
    """The database was not reached, cut the connection, or could not do it now."""


class SourceDeniedError(SourceError):
    """The database, or the operator's policy, does not let us in."""


class QueryError(SourceError):
    """The query is not one that may run, or the database refused it, or its result cannot be used."""


class QueryTimeoutError(QueryError):
    """The query took longer than it may."""


class QueryCancelledError(QueryError):
    """The query was cancelled by `Source.cancel` or `Source.close`."""
