"""A world is one account in one mode: the wall that no query, event or object crosses."""

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """Test and production data of one account never meet."""

    TEST = "test"
    PROD = "prod"


@dataclass(frozen=True, slots=True)
class World:
    """Whose data: every read and write names one, and it comes from the API key alone."""

    account_id: str
    mode: Mode
