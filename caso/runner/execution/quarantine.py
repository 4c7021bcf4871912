"""Images and batches that fail, or kill the process that explains or reads them: each costs itself alone.

`isolate_failures` halves a batch that raises, down to the image that does; `survive_readers` finds the batch whose
reading kills a process, and `Quarantine` the one whose explaining does.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from caso.runner.execution.processes import Process, ProcessFailedError
from caso.runner.execution.share import Share
from caso.runner.explain.explainers import constant_columns
from caso.runner.results.segments import SegmentWriter
from caso.runner.results.writer import ResultWriter

log = logging.getLogger(__name__)

_MOST = 4
"""How often processes may die, none having finished a batch since, before the run is given up."""


def isolate_failures(
    solve: Callable[[int, Tensor], Any], pixels: Tensor, first: int = 0
) -> list[tuple[int, Tensor, Any]]:
    """Explain a batch; if that fails, each of its halves, down to single images.

    So a batch that does not fit in memory is explained in smaller ones, and an image that fails costs itself alone.

    Args:
        solve: Explains images, given the index of the first in the batch, and their pixels ``[b, C, H, W]``.
        pixels: The batch.
        first: Place of its first image, for the recursion.

    Returns:
        Triples of an index, the pixels from there on, and what ``solve`` returned, or the exception for a single image.
    """
    try:
        return [(first, pixels, solve(first, pixels))]
    except Exception as error:  # whatever a network, or memory, may raise
        if len(pixels) == 1:
            return [(first, pixels, error)]
    # Outside the handler, whose exception would keep the failed attempt's tensors alive.
    if pixels.is_cuda:
        torch.cuda.empty_cache()
    middle = len(pixels) // 2
    return isolate_failures(solve, pixels[:middle], first) + isolate_failures(solve, pixels[middle:], first + middle)


def survive_readers(share: Share, sink: ResultWriter, explain: Callable[[Sequence[int]], None]) -> None:
    """Explain what is missing, whatever becomes of the processes that read images.

    After one died, batches are read one at a time, to find out which one it cannot survive.
    """
    singly = 0
    while missing := _missing(share, sink):
        try:
            explain(missing[:1] if singly else missing)
            singly = max(0, singly - 1)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            if singly:
                give_up(share, missing[0], "the process that read it was killed twice", sink.writer)
            log.warning("a process that reads images was killed; going on with another")
            singly = 2 * share.cfg.num_workers + 1  # as many as were being read ahead


def _missing(share: Share, sink: ResultWriter) -> list[int]:
    sink.settle()
    return share.missing()


def give_up(share: Share, batch: int, reason: str, writer: SegmentWriter) -> None:
    """Finish a batch with rows that say why its images have no map."""
    constant = constant_columns(share.cfg, share.source.name)
    indices = share.manifest.images(batch)
    writer.commit(
        batch, [constant | {"image": share.samples.ids[i], "status": "error", "message": reason} for i in indices]
    )


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
