"""How many processor cores this process may use: of the machine, of its CPU affinity, and of its control groups."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_GROUPS, _MOUNT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Count the processor cores that this process may use, at least 1.

    These are the cores of its affinity, as batch systems and ``taskset`` set it, or fewer where a control group (of a
    container, say) has a quota of processor time, which is rounded up.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, cpu_quota())))


def cpu_quota(groups: Path = _GROUPS, mount: Path = _MOUNT) -> float:
    """Read how many cores' processor time the control groups of this process allow, in versions 1 and 2.

    Args:
        groups: The file that lists them.
        mount: Where their files are.

    Returns:
        The smallest quota among a group and those that it is in; infinity where there is none, or none is readable.
    """
    try:
        lines = groups.read_text().splitlines()
    except (OSError, ValueError):  # not Linux
        return math.inf
    return min((_quota(folder) for line in lines for folder in _folders(line, mount)), default=math.inf)


def _folders(line: str, mount: Path) -> Iterator[Path]:
    """The folders of a line ``number:controllers:path`` that may hold quotas: of the group, and of those it is in."""
    _, controllers, path = line.split(":", 2)
    if controllers and "cpu" not in controllers.split(","):
        return
    own = PurePosixPath(path.lstrip("/"))
    for group in (own, *own.parents):
        # Version 1 has a folder for each controller, or set of them; version 2 has one for all, under version 1 too.
        for folder in (controllers, "cpu") if controllers else ("", "unified"):
            yield mount / folder / group


def _quota(folder: Path) -> float:
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return math.inf if quota == "max" or float(quota) <= 0 else float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
