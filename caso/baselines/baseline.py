"""What all explanation methods share: options, batches, classes, a copy of the model."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from caso.arguments import CountOrNone, check_fields, require_module
from caso.extras import needs
from caso.memory import Chunks, backward_batch, halve_until_it_fits
from caso.network import evaluation_copy, fingerprint
from caso.network.outputs import Logits, as_logits, find_outputs
from caso.precision import full_precision


@dataclass(kw_only=True, eq=False)
class Baseline:
    """An explanation method: maps shaped like the images.

    Attributes:
        model: a classifier `[B, C, H, W] -> [B, K]`; comes back unchanged. It is explained in evaluation mode.
        batch_size: copies of images in one pass; None for 8, or 64 on a GPU. Halved where memory runs out.
    """

    model: nn.Module
    batch_size: CountOrNone = None

    name: ClassVar[str]
    _seen: tuple[object, ...] = field(default=(), init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            TypeError: the model is not a module.
            ValueError: an option is out of range.
        """
        require_module(self.model)
        check_fields(self, f"{self.name}: ")

    @property
    def gradients(self) -> float:
        """Cost of an image's map in gradients; without the forward pass that finds a class that is not given."""
        return 1.0

    def attribute(self, inputs: Tensor, target: int | Tensor | None = None) -> Tensor:
        """Explain a batch of images.

        Args:
            inputs: pixels `[B, C, H, W]` of a floating dtype.
            target: the class to explain: None for the predicted one, an int for all images, or one int an image.

        Returns:
            maps shaped like the images.

        Raises:
            ValueError: inputs or target do not fit, or the network does not allow the method.
        """
        if inputs.dim() != 4 or not len(inputs) or not inputs.is_floating_point():
            raise ValueError(f"inputs of shape {tuple(inputs.shape)}, {inputs.dtype}: must be floats [B, C, H, W]")
        with torch.inference_mode(False), torch.enable_grad(), full_precision(inputs.device):
            # A copy: what was made in inference mode cannot enter autograd.
            images = inputs.detach().clone().to(torch.promote_types(inputs.dtype, torch.float32))
            network = self._ready(images)
            targets = _targets(network, images, target, self._chunks)
            parts = self._chunks.map(lambda rows: self._chunk(network, images[rows], targets[rows]), len(images))
        return torch.cat(parts).to(inputs.dtype)

    def _ready(self, images: Tensor) -> nn.Module:
        key = (*fingerprint(self.model), images.dtype, images.device, images.shape[1:])
        if key != self._seen:
            self._chunks = Chunks(self.batch_size or backward_batch(images.device))
            network = evaluation_copy(self.model, images.dtype)
            outputs = find_outputs(network, images)
            if not isinstance(self.model, Logits):  # whoever wrapped it has said what was found
                outputs.log()
            self._network = self._prepared(as_logits(network, outputs), images[:1])
            self._copies = self._chunks.size or 1
            self._seen = key
        return self._network

    def _prepared(self, network: nn.Module, image: Tensor) -> nn.Module:
        """Bring the copy into the form that the method needs, or say why it cannot be."""
        return network

    def _chunk(self, network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        """Explain with as many copies in one pass as fit."""
        count = len(images)

        def work(copies: int) -> Tensor:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Captum warns of the hooks that it sets
                return self._maps(network, images, targets, max(1, copies // count)).detach()

        maps, self._copies = halve_until_it_fits(work, self._copies, least=count)
        return maps

    def _maps(self, network: nn.Module, images: Tensor, targets: Tensor, copies: int) -> Tensor:
        """Maps of a chunk; `copies` of each image fit into one pass."""
        raise NotImplementedError

    def _refuse(self, condition: bool, reason: str) -> None:
        if condition:
            raise ValueError(f"{self.name}: the network does not allow it: {reason}")


@dataclass(kw_only=True, eq=False)
class CaptumMethod(Baseline):
    """An explanation method that Captum computes."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            MissingPackageError: Captum is not installed.
            TypeError: the model is not a module.
            ValueError: an option is out of range.
        """
        super().__post_init__()
        with needs("baselines", f"explainer={self.name}"):
            import captum.attr  # noqa: F401


def _targets(network: nn.Module, images: Tensor, target: int | Tensor | None, chunks: Chunks) -> Tensor:
    """The class to explain of each image, `[B]`."""
    batch = len(images)
    with torch.no_grad():
        logits = torch.cat(chunks.map(lambda rows: network(images[rows]), batch if target is None else 1))
    if target is None:
        return logits.argmax(1)
    given = torch.as_tensor(target, device=images.device)
    whole = not given.is_floating_point() and given.dtype != torch.bool
    if not whole or given.dim() > 1 or given.numel() not in (1, batch):
        raise ValueError(f"target={target!r}: must be None, a class index, or {batch} of them")
    if bool(((given < 0) | (given >= logits.shape[1])).any()):
        raise ValueError(f"target={target!r}: must be from 0 to {logits.shape[1] - 1}")
    return given.long().flatten().expand(batch).clone()
