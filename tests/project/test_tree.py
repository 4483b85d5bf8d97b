"""The tree keeps its own rules."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "core", "misc"}


def tracked():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name]


def test_no_file_or_folder_has_a_name_that_says_nothing():
    """A name says what is inside."""
    parts = {part.partition(".")[0] for path in tracked() for part in path.relative_to(ROOT).parts}
    assert not parts & FORBIDDEN_NAMES


def test_every_package_explains_itself():
    """Each house has a README."""
    for package in ("ingest", "metering", "loaders", "billing", "deploy"):
        assert (ROOT / package / "README.md").is_file(), package


def test_money_and_quantities_never_meet_a_float():
    """No package calls float() or divides with a literal float."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in {"billing", "metering", "ingest"}
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(r"\bfloat\(|toFloat(32|64)", line)
    ]
    assert found == []
