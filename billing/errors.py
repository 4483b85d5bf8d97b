"""What can go wrong between usage and money, by what the caller should do.

BillingError
+-- InvalidPriceError         answer 400: prices, terms or quantities break a rule; `faults` name each place
+-- RefusedPriceError         answer 422: all is well-formed, and refused for what it means
    +-- AmountTooLargeError       the amount does not fit 64 bits
"""

from collections.abc import Sequence

from metering.http.problem import Fault


class BillingError(Exception):
    """The root of this package's errors."""


class InvalidPriceError(BillingError, ValueError):
    """Prices, terms or quantities break a rule; nothing was rated."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        """Take at least one fault; the first one speaks for all in the message."""
        assert faults
        super().__init__(faults[0].message)
        self.faults = tuple(faults)


class RefusedPriceError(BillingError, ValueError):
    """A request that can be read and is refused for what it means."""


class AmountTooLargeError(RefusedPriceError):
    """An amount lies beyond a signed 64-bit integer of minor units; it is refused, never wrapped."""
