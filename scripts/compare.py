"""Compare the scores of runs: one table and one figure.

    python run.py -m explainer=cafo,caso,gradient,random,edges metrics=faithfulness
    python scripts/compare.py multirun/DATE/TIME
    python scripts/compare.py outputs/one outputs/another --output comparison

A sweep ends with this by itself; here it is made again, or over runs that were not one sweep.
"""

import argparse
import sys
from pathlib import Path

from caso.runner.results.sweep import gather, show_comparison


def main() -> int:
    """Read the command line, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directories", nargs="+", type=Path, help="a sweep's directory, or several runs'")
    parser.add_argument("--output", type=Path, help="where to write (the sweep's directory, or this one)")
    chosen = parser.parse_args()
    jobs: list[tuple[str, Path]] = []
    for directory in chosen.directories:
        if (directory / "parts").is_dir():
            jobs.append((directory.name, directory))
            continue
        found = gather(directory).to_dict("records") if directory.is_dir() else []
        if not found:
            parser.error(f"{directory}: neither a run's directory nor a sweep's")
        jobs += [(str(job["overrides"]), directory / str(job["directory"])) for job in found]
    output = chosen.output or (chosen.directories[0] if len(chosen.directories) == 1 else Path())
    output.mkdir(parents=True, exist_ok=True)
    show_comparison(output, jobs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
