"""Where a process's results go: its parts' files and its pictures, written while the next batch is explained."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from caso.runner.cli.messages import describe, printable
from caso.runner.results.manifest import Manifest, write_json
from caso.runner.results.panel import Look
from caso.runner.results.pictures import overlay_of, panel, write_picture
from caso.runner.results.regions import Regions
from caso.runner.results.segments import SegmentWriter
from caso.runner.results.store import DEFINITIONS
from caso.runner.results.thumbnails import draw_thumbnails, wanted

log = logging.getLogger(__name__)

_Image = tuple[list[dict[str, Any]], list[NDArray[Any] | None], Tensor | None, Regions | None]


class ResultWriter:
    """Takes each image's results, and writes each batch in a thread of its own.

    One batch waits at most, so that memory does not grow. The first is written before anything else happens: a process
    that is killed at its first batch was killed by that one, see `caso.runner.execution.quarantine`.

    Args:
        directory: The run's.
        manifest: The run's.
        pictures: How many of the first images are drawn.
        look: How they are.
    """

    def __init__(self, directory: Path, manifest: Manifest, pictures: int, look: Look | None = None) -> None:
        """Open the files."""
        self.writer = SegmentWriter(directory)
        self._directory, self._manifest, self._pictures = directory, manifest, pictures
        self._look = look or Look()
        self._thread = ThreadPoolExecutor(1, "write")
        self._images: dict[int, _Image] = {}
        self._writing: Future[None] | None = None
        self._definitions: dict[str, Any] = {}
        self._first = True

    def take(
        self,
        index: int,
        rows: list[dict[str, Any]],
        maps: list[NDArray[Any] | None],
        pixels: Tensor | None,
        regions: Regions | None = None,
    ) -> None:
        """Take an image's rows, one for each setting, with their maps and its regions."""
        drawn = pixels is not None and index < self._pictures
        self._images[index] = rows, maps, pixels.cpu() if drawn and pixels is not None else None, regions

    def finish(self, definitions: dict[str, Any]) -> None:
        """Write the batch whose images have come; `definitions` says what their scores are."""
        self.settle()
        if definitions != self._definitions:
            write_json(self._directory / DEFINITIONS, definitions)
            self._definitions = definitions
        images, self._images = self._images, {}
        self._writing = self._thread.submit(self._write, images)
        if self._first:
            self._first = False
            self.settle()

    def settle(self) -> None:
        """Wait until every batch is on disk that was finished, and raise what went wrong."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Finish, and close the files."""
        try:
            self.settle()
        finally:
            self._thread.shutdown()
            self.writer.close()

    def _write(self, images: dict[int, _Image]) -> None:
        kept = []
        for index, (rows, maps, pixels, regions) in sorted(images.items()):
            picture = self._draw(index, rows, maps, pixels, regions)
            self._keep_thumbnails(index, rows, maps, pixels, regions)
            if regions is not None:  # with the first of its settings
                locator = self.writer.keep_labels(regions.labels)
                rows[0] |= {"regions": regions.rows, "labels": locator}
            for row, attribution in zip(rows, maps, strict=True):
                where = "" if attribution is None else self.writer.keep(attribution)
                kept.append(row | {"map": where, "picture": picture})
        self.writer.commit(min(images) // self._manifest.batch_size, kept)

    def _draw(
        self,
        index: int,
        rows: list[dict[str, Any]],
        maps: list[NDArray[Any] | None],
        pixels: Tensor | None,
        regions: Regions | None,
    ) -> str:
        """Draw an image's picture; one that fails must not cost a map."""
        name = f"pictures/{index:06d}.png"
        try:
            content = None if pixels is None else panel(rows, maps, pixels, regions)
            if content is None:
                return ""
            (self._directory / "pictures").mkdir(exist_ok=True)
            write_picture(content, self._directory / name, self._look)
        except Exception as error:
            log.warning("%s: no picture (%s)", printable(str(rows[0]["image"])), describe(error))
            log.debug("drawing failed", exc_info=True)
            return ""
        return name

    def _keep_thumbnails(
        self,
        index: int,
        rows: list[dict[str, Any]],
        maps: list[NDArray[Any] | None],
        pixels: Tensor | None,
        regions: Regions | None,
    ) -> None:
        """Keep small pictures for the run's page, with the rows; one that fails must not cost a map."""
        if pixels is None or not wanted(index, len(rows)):
            return
        try:
            drawn = draw_thumbnails(pixels, maps, self._look, None if regions is None else overlay_of(regions))
        except Exception:
            log.debug("no thumbnails of %s", printable(str(rows[0]["image"])), exc_info=True)
            return
        rows[0]["photograph"] = self.writer.keep_bytes(drawn.photograph)
        if drawn.regions is not None:
            rows[0]["outlines"] = self.writer.keep_bytes(drawn.regions)
        for row, thumbnail in zip(rows, drawn.maps, strict=True):
            if thumbnail is not None:
                row["thumbnail"] = self.writer.keep_bytes(thumbnail)
