"""The codes of currencies and countries that we take, from the CLDR data that babel ships.

Currencies are ISO 4217 codes that were legal tender somewhere since `TENDER_SINCE`: the documented API still lists
some that have been replaced (HRK, ZWL), and an old contract may name one. Countries are ISO 3166-1 alpha-2 codes, and
XK, which is in use for Kosovo.
"""

import re
from datetime import date
from functools import cache

from babel import Locale
from babel.core import get_global

TENDER_SINCE = date(2016, 1, 1)

_ALPHA_2 = re.compile(r"[A-Z]{2}")
# CLDR's codes for groups of countries, parts of them, and none at all.
_NO_COUNTRY = frozenset({"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"})


@cache
def currency_codes() -> frozenset[str]:
    """Give the codes of the currencies in use."""
    return frozenset(
        code
        for territory in get_global("territory_currencies").values()
        for code, _start, end, tender in territory
        if tender and (end is None or date(*end) >= TENDER_SINCE)
    )


@cache
def country_codes() -> frozenset[str]:
    """Give the codes of the countries."""
    territories = (str(code) for code in Locale("en").territories)
    return frozenset(code for code in territories if _ALPHA_2.fullmatch(code)) - _NO_COUNTRY
