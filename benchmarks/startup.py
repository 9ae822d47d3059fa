"""Start-up of `--help` against a bare interpreter, pair by pair: prints JSON with the median ratio."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

PAIRS = 15


def seconds(command: list[str]) -> float:
    """Give the wall clock of one run of a command, in seconds."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Time both in turn, so that a machine whose speed drifts slows both."""
    tool = str(Path(sys.executable).with_name("optimize-runbook"))
    pairs = [(seconds([tool, "--help"]), seconds([sys.executable, "-c", ""])) for _ in range(PAIRS + 1)][1:]
    print(
        json.dumps(
            {
                "pairs": PAIRS,
                "help_seconds": round(statistics.median(ours for ours, _ in pairs), 4),
                "bare_seconds": round(statistics.median(bare for _, bare in pairs), 4),
                "ratio": round(statistics.median(ours / bare for ours, bare in pairs), 2),
            }
        )
    )


if __name__ == "__main__":
    main()
