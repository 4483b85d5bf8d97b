"""What the linter was told beyond its own rules is told, and can fail."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_wait_that_may_swallow_a_cancel_is_refused():
    """asyncio.wait_for, by which a part that was told to stop went on."""
    code = "import asyncio\n\nasyncio.wait_for(asyncio.sleep(1), 1)\n"
    ruff = Path(sys.executable).parent / "ruff"
    asked = [ruff, "check", "--no-cache", "--select", "TID251", "--stdin-filename", "ingest/waits.py", "-"]
    result = subprocess.run(asked, cwd=ROOT, input=code, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "asyncio.timeout" in result.stdout
