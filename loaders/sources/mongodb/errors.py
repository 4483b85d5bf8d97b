"""From what the driver raises to what the user, or the runner, should do about it."""

from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    ExecutionTimeout,
    InvalidOperation,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from loaders.errors import (
    QueryError,
    QueryTimeoutError,
    SourceDeniedError,
    SourceError,
    SourceUnavailableError,
)

UNAUTHORIZED = 13
AUTHENTICATION_FAILED = frozenset({11, 18, 8000})
"""UserNotFound, AuthenticationFailed, and what MongoDB's own cloud says."""
TIMED_OUT = frozenset({50, 262})
"""MaxTimeMSExpired, ExceededTimeLimit."""
PASSING = frozenset(
    {6, 7, 43, 64, 89, 91, 133, 134, 136, 175, 189, 237, 246, 365, 385, 9001, 10107, 11600, 11601, 11602, 13435, 13436}
)
"""The server was stopped, changed its part in the set, or lost the cursor: the same query may well run next time."""
UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
CURSOR_LOST = frozenset({43, 136, 175, 237})


def translated(error: Exception) -> SourceError:
    """Give what an exception of the driver means, with the server's own words."""
    if isinstance(error, SourceError):
        return error
    if isinstance(error, OperationFailure):
        return _of_server(error)
    if UNTRUSTED in str(error):
        return SourceDeniedError(f"the server's certificate is not to be trusted: {_words(error)}")
    if isinstance(error, NetworkTimeout):
        return SourceUnavailableError(f"MongoDB gave no answer in time: {_words(error)}")
    if isinstance(error, ServerSelectionTimeoutError):
        return SourceUnavailableError(f"no MongoDB server was reached: {_words(error)}")
    if isinstance(error, AutoReconnect):
        return SourceUnavailableError(f"MongoDB was not reached or cut the connection: {_words(error)}")
    if isinstance(error, ConfigurationError):
        return SourceDeniedError(f"the URL cannot be used: {_words(error)}")
    if isinstance(error, InvalidOperation):
        return SourceUnavailableError("the connection was closed")
    return SourceUnavailableError(f"MongoDB's answer cannot be read: {_words(error)}")


def _of_server(error: OperationFailure) -> SourceError:
    words = _words(error)
    if error.code in AUTHENTICATION_FAILED:
        return SourceDeniedError(
            f"MongoDB refused the user or the password: {words} "
            "(if the user was made in another database than the URL's, such as admin, add ?authSource=admin)"
        )
    if error.code == UNAUTHORIZED:
        return SourceDeniedError(f"MongoDB refused: {words}; give the user the role read on the database")
    if isinstance(error, ExecutionTimeout) or error.code in TIMED_OUT:
        return QueryTimeoutError(f"the query took longer than it may: {words}")
    if error.code in CURSOR_LOST:
        return SourceUnavailableError(f"MongoDB ended the query before its last document: {words}")
    if error.code in PASSING:
        return SourceUnavailableError(f"MongoDB could not do it now: {words}")
    return QueryError(f"MongoDB refused the query: {words}")


def _words(error: Exception) -> str:
    details = getattr(error, "details", None)
    said = details.get("errmsg") if isinstance(details, dict) else None
    # The driver appends what it was set to, and all that it knows of the servers.
    text = (
        str(said or error)
        .partition(", full error:")[0]
        .partition(", Timeout:")[0]
        .partition(" (configured timeouts:")[0]
    )
    return text[:1000]
