"""Processes of a run that were killed, and the batches that killed them."""

import logging
from collections import Counter
from dataclasses import replace

from caso.runner.execution.predict import Share, give_up
from caso.runner.execution.processes import Process, ProcessFailedError
from caso.runner.results.segments import SegmentWriter

log = logging.getLogger(__name__)

_MOST = 4
"""How often processes may die, none having finished a batch since, before the run is given up."""


class Quarantine:
    """Counts processes that were killed, batch by batch, and gives up a batch that two did not survive.

    A process reads, explains and writes its first batch before it touches the second, so that a batch that kills every
    process is told from those that were being read or written beside it: at the latest when it is a process's first.

    Args:
        share: Of the process that watches the others.
        world: How many others there are.
    """

    def __init__(self, share: Share, world: int) -> None:
        """Count from zero."""
        self._share, self._world = share, world
        self._of_batch: Counter[int] = Counter()
        self._in_a_row, self._finished = 0, -1

    def record(self, rank: int, how: str) -> None:
        """Take note that the process of that rank was killed by the signal named."""
        own = replace(self._share, process=Process(rank, self._world, rank))
        missing = own.missing()
        finished = len(missing)
        self._in_a_row = self._in_a_row + 1 if finished == self._finished else 1
        self._finished = finished
        if self._in_a_row > _MOST:
            raise ProcessFailedError(f"the processes were killed ({how}) {_MOST} times without finishing a batch")
        if not missing:
            return
        self._of_batch[missing[0]] += 1
        log.warning("process %d of %d was killed (%s); another goes on", rank, self._world, how)
        if self._of_batch[missing[0]] == 2:
            writer = SegmentWriter(own.directory)
            give_up(own, missing[0], f"the process that explained it was killed twice ({how})", writer)
            writer.close()
