"""The Lightning module: explains batches as they come and hands each result on at once."""

import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from caso.network.outputs import Outputs, as_logits
from caso.runner.cli.messages import describe, printable
from caso.runner.execution.lightning import pl
from caso.runner.execution.loading import Batch, Group
from caso.runner.execution.quarantine import isolate_failures
from caso.runner.explain.explainers import constant_columns
from caso.runner.explain.fitting import check_classes, copy_for_evaluation, first_outputs
from caso.runner.explain.methods import Explained, Method, make_method
from caso.runner.explain.scoring import Scorer, make_metrics
from caso.runner.regions import make_regions
from caso.runner.results.regions import Regions, regions_of

log = logging.getLogger(__name__)


def to_host(tensors: Sequence[Tensor]) -> list[NDArray[Any]]:
    """Bring tensors of one device to the processor; a GPU copies one after the other, and is waited for once."""
    if tensors[0].device.type != "cuda":
        return [tensor.cpu().numpy() for tensor in tensors]
    pinned = [torch.empty_like(tensor, device="cpu", pin_memory=True) for tensor in tensors]
    for own, tensor in zip(pinned, tensors, strict=True):
        own.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensors[0].device).synchronize()
    return [own.numpy() for own in pinned]


class Sink(Protocol):
    """Where results go."""

    def take(
        self,
        index: int,
        rows: list[dict[str, Any]],
        maps: list[NDArray[Any] | None],
        pixels: Tensor | None,
        regions: Regions | None = None,
    ) -> None:
        """Take the rows of the image at an index of the data set, one for each setting, with their maps."""

    def finish(self, definitions: dict[str, Any]) -> None:
        """Finish the batch whose images have come; `definitions` says what their scores are."""


class ExplainModule(pl.LightningModule):
    """Explain images by ``Trainer.predict``.

    Args:
        network: Any that takes pixels; its logits are found on the first image.
        cfg: The checked configuration.
        target: A class index for all images, or None for the predicted classes.
        by_label: Whether each image's own label is explained instead.
        class_names: For the results, or None.
        model_name: For the results.
        images_ahead: How many images will come.
        sink: Takes each image's rows as soon as they are known, and is told where a batch ends.
    """

    def __init__(
        self,
        network: nn.Module,
        cfg: Any,
        *,
        target: int | None,
        by_label: bool,
        class_names: Sequence[str] | None,
        model_name: str,
        images_ahead: int,
        sink: Sink,
    ) -> None:
        """Keep all; the explainer is made when the network is on its device."""
        super().__init__()
        self.network = network
        self.cfg = cfg
        self.target = target
        self.by_label = by_label
        self.class_names = class_names
        self.images_ahead = images_ahead
        self.sink = sink
        self.method: Method | None = None
        self.scorer: Scorer | None = None
        self.outputs: Outputs | None = None
        self._constant = constant_columns(cfg, model_name)
        self._regions = make_regions(cfg.regions)
        self._range_logged = False
        self._curvature_logged = False

    def on_predict_start(self) -> None:
        """Make the method and the metrics, with the network as it will run."""
        self._use(copy_for_evaluation(self.network, self.cfg))

    def _use(self, network: nn.Module) -> None:
        if self.outputs is not None:
            network = as_logits(network, self.outputs)
        self._explained = network
        self.method = make_method(self.cfg, network, self.images_ahead)
        self.scorer = Scorer(make_metrics(self.cfg), network, self.method)

    def _find_outputs(self, pixels: Tensor) -> None:
        """See on the first images what the network returns, before any is explained."""
        self.outputs = first_outputs(self._explained, pixels, self.cfg)
        if self.outputs is not None:
            check_classes(self.outputs, self.class_names, self.target, self.cfg)
            self.outputs.log()
            if not self.outputs.plain:
                self._use(self._explained)

    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        """Explain a batch; returns nothing, so that memory does not grow with the data set."""
        for item in batch.unreadable:
            log.warning("%s: unreadable: %s", printable(item.id), printable(item.message))
            self.sink.take(item.number, [self._failure(item.id, "unreadable", item.message)], [None], None)
        for group in batch.groups:
            # Lightning predicts without gradients, which are all that matters here.
            with torch.enable_grad():
                self._explain_group(group)
        assert self.scorer is not None
        self.sink.finish(self.scorer.definitions)

    def _explain_group(self, group: Group) -> None:
        self._check_range(group.pixels)
        if self.outputs is None:
            self._find_outputs(group.pixels)
        # The first batch's time is not that of capturing the network. What fails here fails again for each image.
        assert self.method is not None
        with contextlib.suppress(Exception):
            self.method.prepare(group.pixels)
        if self.by_label:
            for number, name, label in zip(group.numbers, group.ids, group.labels, strict=True):
                if label is None:
                    log.warning("%s: target=label, and it has none", printable(name))
                    self.sink.take(number, [self._failure(name, "error", "target=label: it has none")], [None], None)
            group = group.select([index for index, label in enumerate(group.labels) if label is not None])
            if not group.ids:
                return
        start = time.perf_counter()
        parts = isolate_failures(lambda first, pixels: self._solve(first, pixels, group), group.pixels)
        seconds = (time.perf_counter() - start) / len(group.ids)
        for first, pixels, result in parts:
            for index in range(len(pixels)):
                name, number = group.ids[first + index], group.numbers[first + index]
                if isinstance(result, Exception):
                    log.warning("%s: failed: %s", printable(name), describe(result))
                    log.debug("the failure of %s", printable(name), exc_info=result)
                    row = self._failure(name, "error", describe(result)) | {"seconds": seconds}
                    self.sink.take(number, [row], [None], pixels[index])
                else:
                    self._deliver(group, first + index, result, index, seconds)

    def _solve(self, first: int, pixels: Tensor, group: Group) -> list[tuple[Explained, NDArray[Any]]]:
        """Explain images, score the maps and bring them to the host; a result and its maps for each setting."""
        assert self.method is not None
        assert self.scorer is not None
        here = slice(first, first + len(pixels))
        own = [label for label in group.labels[here] if label is not None]
        regions = None if group.regions is None else group.regions[here]
        results = self.method.explain(pixels, own if self.by_label else self.target, group.ids[here], regions)
        if results[0].evidence and not self._curvature_logged and self.cfg.order.name == "second":
            self._curvature_logged = True
            log.info("curvature: %s (%s)", results[0].rows[0]["curvature"], results[0].evidence)
        # Metrics change whole pixels: regions that differ from channel to channel are none to them.
        of_pixels = regions if regions is not None and regions.dim() == pixels.dim() - 1 else None
        self.scorer.score(pixels, results, of_pixels)
        return list(zip(results, to_host([result.maps for result in results]), strict=True))

    def _deliver(
        self, group: Group, in_group: int, result: list[tuple[Explained, NDArray[Any]]], index: int, seconds: float
    ) -> None:
        rows: list[dict[str, Any]] = []
        maps: list[NDArray[Any] | None] = []
        name, label = group.ids[in_group], group.labels[in_group]
        for explained, attributions in result:
            row = self._constant | explained.rows[index] | {"image": name, "seconds": seconds, "message": ""}
            row["target_name"] = self._class_name(row["target"])
            row["predicted_name"] = self._class_name(row["predicted"])
            if label is not None:
                row |= {"label": label, "label_name": self._class_name(label), "correct": row["predicted"] == label}
                if label < explained.probabilities.shape[1]:
                    row["label_confidence"] = float(explained.probabilities[index, label])
            attribution: NDArray[Any] | None = attributions[index]
            if row["status"] == "not_finite" or not np.isfinite(attributions[index]).all():
                row |= {"status": "not_finite", "message": "the network or its derivatives are not finite here"}
                attribution = None
                log.warning("%s: %s", printable(name), row["message"])
            rows.append(row)
            maps.append(attribution)
        labels = None if group.regions is None else group.regions[in_group]
        regions = None if labels is None else regions_of(labels, rows, maps, self._region_name)
        self.sink.take(group.numbers[in_group], rows, maps, group.pixels[in_group], regions)

    def _region_name(self, label: int) -> str:
        return f"region {label}" if self._regions is None else self._regions.name(label)

    def _failure(self, name: str, status: str, message: str) -> dict[str, Any]:
        return self._constant | {"image": name, "status": status, "message": message}

    def _class_name(self, index: int) -> str:
        known = self.class_names is not None and index < len(self.class_names)
        return self.class_names[index] if known and self.class_names is not None else f"class {index}"

    def _check_range(self, pixels: Tensor) -> None:
        low, high = torch.stack(pixels.aminmax()).tolist()
        if not self._range_logged and (low < -1e-3 or high > 1 + 1e-3):
            self._range_logged = True
            log.warning(
                "the preprocessing gives values in [%.3g, %.3g], not [0, 1]: put the normalisation into the network, "
                "or maps are not with respect to pixels",
                low,
                high,
            )
