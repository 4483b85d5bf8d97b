"""What lies where in an installation, and how many bytes each part takes."""

import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from metering.registry.address import parse_address

PARTS = ("log", "archive", "store", "registry", "imports")


def places_of(data_dir: Path, archive_dir: Path, store_url: str, registry_url: str) -> Mapping[str, Path]:
    """Name the folder or file of each part that lies here; the registry's journal files lie beside it."""
    places = {
        "log": data_dir / "log",
        "archive": archive_dir,
        "store": store_path(store_url),
        "registry": registry_path(registry_url),
        "imports": data_dir / "imports",
    }
    return {part: place for part, place in places.items() if place is not None}


def store_path(url: str) -> Path:
    """Give the folder of an embedded store."""
    return Path(url.removeprefix("chdb://"))


def registry_path(url: str) -> Path | None:
    """Give the file of an SQLite registry; None when it is a server's."""
    address = parse_address(url)
    return Path(address.database or "") if address.get_backend_name() == "sqlite" else None


def disk_use(places: Mapping[str, Path]) -> dict[str, int]:
    """Count the bytes of each part; a file that has two names in one part is counted once."""
    return {part: _bytes_of(place) for part, place in places.items()}


def _bytes_of(place: Path) -> int:
    files: dict[tuple[int, int], int] = {}
    for path in place.rglob("*") if place.is_dir() else place.parent.glob(f"{place.name}*"):
        with suppress(FileNotFoundError):  # Files come and go while we look.
            found = path.lstat()
            if stat.S_ISREG(found.st_mode):
                files[found.st_dev, found.st_ino] = found.st_size
    return sum(files.values())
