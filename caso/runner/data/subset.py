"""Some samples of a data set: the first, a random choice, those of some classes, or those that a file lists."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caso.runner.cli.messages import ConfigError, choices, nearest, printable
from caso.runner.data.samples import Samples

_KEY = "dataset.subset"


@dataclass
class Subset:
    """Which samples of a data set are taken."""

    n: int | None = None
    random: bool = False
    classes: list[Any] | None = None
    ids: str | None = None


def take_subset(samples: Samples, options: Any, seed: int) -> Samples:
    """Take the samples that the node ``subset`` of a data set's options asks for, in the data set's order.

    Args:
        samples: All.
        options: ``ids``: a file with one id a line; ``classes``: names or indices of labels; ``n``: how many of those
            that remain, the first ones or, with ``random``, a choice by the seed that grows with n. None of them, or
            None, for all.
        seed: The run's.

    Raises:
        ConfigError: If an option is wrong, names what does not exist, or nothing remains.
    """
    if options is None:
        return samples
    indices = list(range(len(samples)))
    if options.get("ids") is not None:
        indices = _by_ids(samples, str(options.ids))
    if options.get("classes") is not None:
        wanted = _classes(samples, list(options.classes))
        assert samples.labels is not None
        indices = [index for index in indices if samples.labels[index] in wanted]
    n = options.get("n")
    if n is not None:
        if n < 1:
            raise ConfigError(f"{_KEY}.n", n, "must be at least 1")
        if options.get("random"):
            random.Random(f"{seed}/subset").shuffle(indices)
        indices = sorted(indices[:n])
    elif options.get("random"):
        raise ConfigError(f"{_KEY}.random", True, f"how many? give {_KEY}.n as well")
    if not indices:
        raise ConfigError(_KEY, "", "no sample remains")
    return samples if len(indices) == len(samples) else samples.select(indices)


def _by_ids(samples: Samples, name: str) -> list[int]:
    path = Path(name).expanduser()
    if not path.is_file():
        raise ConfigError(f"{_KEY}.ids", name, "no such file; give a file with one id a line")
    # File names that are no valid text are ids, too.
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    wanted = {line.removesuffix("\r") for line in lines} - {""}
    found = [index for index, one in enumerate(samples.ids) if one in wanted]
    unknown = sorted(wanted - {samples.ids[index] for index in found})
    if unknown:
        close = nearest(unknown[0], samples.ids) if len(samples) <= 10_000 else []
        hint = f"; did you mean {choices(close)}?" if close else f"; ids are like {samples.ids[0]}"
        raise ConfigError(f"{_KEY}.ids", name, printable(f"{len(unknown)} are not there, first {unknown[0]}{hint}"))
    return found


def _classes(samples: Samples, given: list[Any]) -> set[int]:
    if samples.labels is None:
        raise ConfigError(f"{_KEY}.classes", given, "this data set has no labels")
    names = list(samples.label_names or ())
    wanted = set()
    for one in given:
        if isinstance(one, str) and one in names:
            wanted.add(names.index(one))
        elif str(one).isdecimal() and int(one) in samples.labels:
            wanted.add(int(one))
        else:
            close = nearest(str(one), names)
            hint = f"; did you mean {choices(close)}?" if close else ""
            raise ConfigError(f"{_KEY}.classes", one, f"no sample has this class{hint}")
    return wanted
