"""``python -m experiments key=value ...``: run the experiments, and write the report.

size=default          smoke (seconds), default (embedded data, minutes each) or paper (dataset.root=... and a GPU)
output=DIRECTORY      where to; outputs/experiments/SIZE by default. The same command again runs what is missing
only=NAME,NAME        some experiments
keep=true             copy tables, small figures and numbers to experiments/results, and renew what pages quote
KEY=VALUE             anything else is for run.py, in every experiment: seed=1, image=photo.jpg, dataset.root=...
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.keep import keep
from experiments.reproduce import reproduce


def _parse(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Split arguments into our own keys and the overrides of ``run.py``.

    Raises:
        ValueError: If an argument is not understood.
    """
    given = {}
    overrides = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise ValueError(f"{argument}: must be key=value; see --help")
        if key in ("size", "output", "only", "keep"):
            given[key] = value
        else:
            overrides.append(argument)
    if given.get("keep", "false") not in ("true", "false"):
        raise ValueError(f"keep={given['keep']}: must be true or false")
    return given, overrides


def main(arguments: Sequence[str]) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name.

    Returns:
        The exit status: 0, 1 where something failed, 2 for a mistake, 130 after an interruption.
    """
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    try:
        given, overrides = _parse(arguments)
        size = given.get("size", "default")
        output = Path(given.get("output", f"outputs/experiments/{size}"))
        status = reproduce(size, output, given["only"].split(",") if "only" in given else None, overrides)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    if given.get("keep") == "true":
        if status:
            print("nothing is kept of a report that is not complete", file=sys.stderr)
        else:
            keep(output)
    print(f"report: {output / 'report.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
