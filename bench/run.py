"""Print each hot path's figure beside its limit, measured in the same run: `make bench`.

    python bench/run.py             every bench, at its default size
    SIZE=10000000 python bench/run.py

The head line names the commit and the machine, so that what is printed can be kept in RESULTS.md as it is. Ratios are
what counts: absolute figures are those of one machine at one moment.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BENCHES = (
    "gateway.py",
    "client.py",
    "consumer.py",
    "end_to_end.py",
    "kafka.py",
    "loaders_sql.py",
    "read.py",
    "read_while_ingesting.py",
    "prices.py",
    "rating.py",
    "simulate.py",
    "explain.py",
    "loaders_mongo.py",
    "loaders_warehouse.py",
    "loaders.py",
)


def machine():
    """Name the processor, its cores, the memory and the versions that matter."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    return f"{model}, {os.cpu_count()} cores, {memory} GiB, Python {platform.python_version()}"


def commit():
    """Name what is measured; a tree with changes says so."""
    named = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return named.stdout.strip() or "no commit"


def main():
    """Run the benches one after the other, never side by side."""
    wanted = sys.argv[1:] or BENCHES
    load = os.getloadavg()[0]
    print(f"# {commit()} on {machine()}, load {load:.1f} at the start", flush=True)
    failed = []
    for name in wanted:
        print(f"\n## {name}", flush=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-P", ROOT / "bench" / name], cwd=ROOT, env=environment, check=False)
        if done.returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
