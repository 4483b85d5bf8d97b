"""Turn the driver's exceptions into ours, in one place.

What we cannot name we call unavailable: the consumer then tries again, which is harmless, and a reader answers 503.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.exceptions import ClickHouseError, DataError, NotSupportedError, ProgrammingError

from metering.errors import QueryLimitError, StoreRefusedError, StoreUnavailableError

# Numbers of ClickHouse's ErrorCodes.cpp.
_LIMIT_CODES = frozenset(
    {
        158,  # TOO_MANY_ROWS
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        241,  # MEMORY_LIMIT_EXCEEDED
        307,  # TOO_MANY_BYTES
        396,  # TOO_MANY_ROWS_OR_BYTES
    }
)
_REFUSED_CODES = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        10,  # NOT_FOUND_COLUMN_IN_BLOCK
        16,  # NO_SUCH_COLUMN_IN_TABLE
        36,  # BAD_ARGUMENTS
        42,  # NUMBER_OF_ARGUMENTS_DOESNT_MATCH
        43,  # ILLEGAL_TYPE_OF_ARGUMENT
        46,  # UNKNOWN_FUNCTION
        47,  # UNKNOWN_IDENTIFIER
        53,  # TYPE_MISMATCH
        57,  # TABLE_ALREADY_EXISTS
        60,  # UNKNOWN_TABLE
        62,  # SYNTAX_ERROR
        115,  # UNKNOWN_SETTING
        164,  # READONLY
        215,  # NOT_AN_AGGREGATE
        386,  # NO_COMMON_TYPE
        452,  # SETTING_CONSTRAINT_VIOLATION
        497,  # ACCESS_DENIED
        516,  # AUTHENTICATION_FAILED
    }
)
_UNKNOWN_DATABASE = 81
_DATABASE = re.compile(r"Database `?(\w+)`? does not exist")


@contextmanager
def translated() -> Iterator[None]:
    """Give our exceptions for the driver's.

    Raises:
        QueryLimitError: a limit of one statement was reached.
        StoreRefusedError: the statement, or our right to it, is at fault; again would be refused again.
        StoreUnavailableError: anything else.
    """
    try:
        yield
    except ClickHouseError as error:
        code = getattr(error, "code", None)
        if code in _LIMIT_CODES:
            raise QueryLimitError(str(error)) from error
        if code == _UNKNOWN_DATABASE:
            named = _DATABASE.search(str(error))
            name = named[1] if named else "the one that the URL names"
            raise StoreRefusedError(f"the store has no database {name}: CREATE DATABASE {name}") from error
        if code in _REFUSED_CODES or (code is None and isinstance(error, (DataError, NotSupportedError))):
            raise StoreRefusedError(str(error)) from error
        if code is None and isinstance(error, ProgrammingError) and "chdb engine" not in str(error):
            raise StoreRefusedError(str(error)) from error
        if code is None and error.__cause__ is not None:
            raise StoreUnavailableError(f"the store does not answer ({type(error.__cause__).__name__})") from error
        raise StoreUnavailableError(str(error)) from error
    except OSError as error:
        raise StoreUnavailableError(str(error)) from error
