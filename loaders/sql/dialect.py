"""The dialects of SQL that users write, and how each of them divides a text."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Dialect(StrEnum):
    """A dialect, by sqlglot's name for it."""

    POSTGRES = "postgres"
    MYSQL = "mysql"
    BIGQUERY = "bigquery"
    SNOWFLAKE = "snowflake"


@dataclass(frozen=True, slots=True)
class Grammar:
    """What begins and ends a string, a name and a comment. Sessions are set up so that servers agree with this.

    `strings` and `names` are the marks that enclose them, the longest first; `escaped`: a backslash keeps the mark
    after it from ending a string; `doubled`: so does doubling it; `line_comments`: what begins one.
    """

    strings: tuple[str, ...]
    names: tuple[str, ...]
    line_comments: tuple[str, ...]
    escaped: bool = False
    doubled: bool = True
    nested_comments: bool = False
    dollar_quotes: bool = False
    refused_marks: str = "{}"
    """Marks that no reading query needs outside strings and names."""


GRAMMARS: Mapping[Dialect, Grammar] = {
    Dialect.POSTGRES: Grammar(
        strings=("'",), names=('"',), line_comments=("--",), nested_comments=True, dollar_quotes=True
    ),
    Dialect.MYSQL: Grammar(
        strings=("'", '"'), names=("`",), line_comments=("--", "#"), escaped=True, refused_marks="{}@?"
    ),
    Dialect.BIGQUERY: Grammar(
        strings=("'''", '"""', "'", '"'),
        names=("`",),
        line_comments=("--", "#"),
        escaped=True,
        doubled=False,
        refused_marks="{}@?$",
    ),
    Dialect.SNOWFLAKE: Grammar(
        strings=("$$", "'"), names=('"',), line_comments=("--", "//"), escaped=True, refused_marks="@?"
    ),
}
