"""Pages of a list: so many rows each, and a bound on how far one leafs instead of narrowing the filter."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from deploy.pages.quantities import quantity

ROWS = 50
PAGES_MAX = 200


@dataclass(frozen=True, slots=True)
class ListPage:
    """Which part of a list is shown, and the way on. Links are empty where there is none."""

    summary: str
    previous: str
    previous_text: str
    following: str
    following_text: str


def list_page(
    path: str,
    filters: Mapping[str, str],
    page: int,
    shown: int,
    total: int,
    *,
    words: tuple[str, str] = ("Newer", "Older"),
) -> ListPage:
    """Describe page `page`, counted from 1, that shows `shown` of `total` rows; `filters` stay in the links."""

    def link(number: int) -> str:
        fields = {**filters, **({"page": str(number)} if number > 1 else {})}
        return f"{path}?{urlencode(fields)}" if fields else path

    skipped = (page - 1) * ROWS
    more = skipped + shown < total
    summary = (
        f"{quantity(skipped + 1)} to {quantity(skipped + shown)} of {quantity(total)}"
        if shown
        else f"0 of {quantity(total)}"
    )
    if more and page == PAGES_MAX:
        summary += ": narrow the filters to see the rest"
    return ListPage(
        summary=summary,
        previous=link(page - 1) if page > 1 else "",
        previous_text=words[0],
        following=link(page + 1) if more and page < PAGES_MAX else "",
        following_text=words[1],
    )
