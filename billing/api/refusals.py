"""Turn what billing refuses into answers: bad prices into 400 with every fault, what cannot be billed into 422."""

from collections.abc import Iterator
from contextlib import contextmanager

from billing.errors import InvalidPriceError, RefusedPriceError
from metering.http.problem import ApiError, refused


@contextmanager
def answered() -> Iterator[None]:
    """Run what may refuse a price."""
    try:
        yield
    except InvalidPriceError as error:
        raise ApiError(400, str(error), error.faults) from None
    except RefusedPriceError as error:
        raise refused(str(error)) from None
