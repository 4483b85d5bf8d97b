"""Where the registry is: `sqlite:////path/registry.db` or `postgresql://user:password@host:5432/database`.

Nothing here says the password again, whatever is wrong with the rest.
"""

import sqlalchemy as sa

_EXAMPLE = "postgresql://user:password@host:5432/database"
_ENCODE = "write special characters of the user and the password in percent form (@ is %40, / is %2F)"
_POSTGRESQL = frozenset({"postgresql", "postgres", "postgresql+psycopg"})


def parse_address(url: str) -> sa.URL:
    """Read a URL. What libpq knows may follow as parameters: `?sslmode=verify-full&sslrootcert=/path/ca.pem`.

    Raises:
        ValueError: it names no registry that can be opened; the message holds no password.
    """
    try:
        address = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise ValueError(f"this is no URL: write {_EXAMPLE}; {_ENCODE}") from None
    if address.drivername == "sqlite":
        if not address.database or address.host:
            raise ValueError("this names no file: write sqlite:////absolute/path/registry.db")
        return address
    if address.drivername not in _POSTGRESQL:
        raise ValueError(
            f"{address.drivername}:// is not known: write {_EXAMPLE}, or sqlite:////absolute/path/registry.db"
        )
    if not address.database or "/" in address.database:
        raise ValueError(f"it ends with the name of one database: write {_EXAMPLE}; {_ENCODE}")
    if not address.host and "host" not in address.query:
        raise ValueError(f"it names no server: write {_EXAMPLE}, or postgresql:///database?host=/socket/folder")
    return address.set(drivername="postgresql+psycopg")
