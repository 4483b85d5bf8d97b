"""Values as literals of SQL."""

from datetime import date, datetime


def literal(value, *, backslashes_escape=False):
    """Give one; date-times are cast from text, as all engines do."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, (datetime, date)):
        value = value.isoformat()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\") if backslashes_escape else value
        return "'" + escaped.replace("'", "''") + "'"
    return str(value)
