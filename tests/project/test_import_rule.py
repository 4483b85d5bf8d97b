"""The import rule holds, and can fail."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("ingest", "metering", "loaders", "billing", "deploy")


def lint_imports(folder):
    lint = Path(sys.executable).parent / "lint-imports"
    return subprocess.run([lint, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


def test_the_packages_import_each_other_as_drawn():
    """loaders -> ingest -> metering <- billing, and nothing imports deploy."""
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


def test_an_import_against_the_rule_is_told(tmp_path):
    """metering must not know billing: a copy of the tree in which it does is refused."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "metering" / "trespass.py").write_text("import billing\n")
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    assert "metering.trespass" in result.stdout
