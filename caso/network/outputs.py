"""What a network returns, and the logits `[B, K]` among it: found once, on one image, before anything is explained.

A map with its certificate answers the question that the network's outputs pose. What poses another one is refused here
(outputs that are random, that depend on the other images, or hold no logits), converted where there is one meaning (one
logit, a tuple, a dict), or warned of (probabilities).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from caso.network.capture import differentiable_kernels

_log = logging.getLogger(__name__)

_AFFINE = {"Addmm", "Mm", "Bmm", "Baddbmm", "Convolution", "Mean", "Sum", "LogSoftmax"}
"""Operations, by autograd's names, after which outputs are no probabilities."""
_RESHAPING = {
    "View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Select", "Slice", "Clone", "ToCopy", "Alias", "T",
    "Transpose", "Permute", "Expand",
}  # fmt: skip
_WIDE = 200.0
"""Range of pixels at which only an output that is bounded stays in [0, 1]."""
_ROUNDED = 1e-3
"""How far from 1 the sum of probabilities may be."""
_DEPENDENT = 0.01
"""Change of an image's outputs by another one in its batch, relative to the largest, that is no rounding."""


class NotLogitsError(ValueError):
    """The network's outputs are no logits that could be explained; the message says why, in one line."""


@dataclass(frozen=True)
class Outputs:
    """Where a network's logits are.

    Attributes:
        classes: `K`; 2 for a network of one logit.
        entry: of the tuple or dict that the network returns, or the name of the attribute; None for a tensor.
        single: whether there is one logit `z`, explained as the two classes `[0, z]`.
        flat: whether the tensor is `[B, K]` already.
        notes: what was taken as the logits, a phrase each.
        warnings: what the user should know, a phrase each.
    """

    classes: int
    entry: str | int | None = None
    single: bool = False
    flat: bool = True
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether the network gives logits `[B, K]` as it is, and there is nothing to say of them."""
        return self.flat and self.entry is None and not (self.single or self.notes or self.warnings)

    def log(self) -> None:
        """Say what was found."""
        for note in self.notes:
            _log.info("%s", note)
        for warning in self.warnings:
            _log.warning("%s", warning)


class Logits(nn.Module):
    """A network behind an adapter that gives its logits `[B, K]`.

    Args:
        network: any.
        outputs: of `find_outputs`.
    """

    def __init__(self, network: nn.Module, outputs: Outputs) -> None:
        """Keep both."""
        super().__init__()
        self.network = network
        self.outputs = outputs

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits `[B, K]` of pixels `[B, ...]`."""
        values = _take(self.network(inputs), self.outputs.entry)
        if not self.outputs.flat:
            values = values.reshape(inputs.shape[0], 1 if self.outputs.single else self.outputs.classes)
        return torch.cat([torch.zeros_like(values), values], 1) if self.outputs.single else values


def as_logits(network: nn.Module, outputs: Outputs) -> nn.Module:
    """The network itself where it is plain, else behind an adapter."""
    return network if outputs.plain or isinstance(network, Logits) else Logits(network, outputs)


def find_outputs(network: nn.Module, inputs: Tensor) -> Outputs:
    """Find out what a network's outputs are, by a few passes on the first image and on one of noise.

    Args:
        network: in evaluation mode.
        inputs: pixels `[B, ...]`, of which the first image is used.

    Raises:
        NotLogitsError: there are no logits to explain, or they are random or depend on the batch.
        ValueError: the network cannot take the inputs, which seem to lack the batch's dimension.
    """
    if isinstance(network, Logits):
        return network.outputs
    image = inputs[:1].detach()
    noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(0)).to(image)
    with differentiable_kernels():
        with torch.no_grad():
            returned = _first_pass(network, image)
            entry = _logits_entry(returned)
            values = _take(returned, entry)
            _require_repeatable(values, _take(network(image.clone()), entry))
        pair = None
        with suppress(Exception), torch.enable_grad():  # a network for batches of one image may fail
            pair = _take(network(torch.cat([image, noise]).requires_grad_().clone()), entry)
        count = _count(values, pair)
        rows = values.reshape(1, count) if pair is None else pair.reshape(2, count)
        _require_independent(values.reshape(1, count), rows[:1].detach())
        warning = _probabilities(rows, lambda images: _take(network(images), entry), noise)
    kind = type(returned).__name__
    notes = [] if entry is None else [f"the network returns a {kind}: its entry {entry} is explained"]
    if count == 1:
        if warning:
            raise NotLogitsError(
                "model: its one output is a probability (in [0, 1], as after a sigmoid): give the logit before it, or "
                "two logits [B, 2]"
            )
        notes.append("the network's one output z is explained as the logits [0, z] of two classes")
    flat = values.dim() == 2 and (pair is None or pair.dim() == 2)
    return Outputs(max(count, 2), entry, count == 1, flat, tuple(notes), (warning,) if warning else ())


def _first_pass(network: nn.Module, image: Tensor) -> Any:
    try:
        return network(image.clone())  # it may write to it
    except Exception as error:
        if image.dim() != 3:
            raise
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ValueError(
            f"inputs of shape [B, {image.shape[1]}, {image.shape[2]}]: the network cannot take them ({reason}); one "
            "image [C, H, W] is given as a batch, inputs[None]"
        ) from error


def _logits_entry(returned: Any) -> str | int | None:
    """Where the logits are in what a network returns."""
    if isinstance(returned, Tensor):
        return None
    named = returned.get("logits") if isinstance(returned, Mapping) else getattr(returned, "logits", None)
    if isinstance(named, Tensor):
        return "logits"
    entries = _entries(returned)
    found = {key: value for key, value in entries.items() if isinstance(value, Tensor) and value.is_floating_point()}
    for dimensions in (2, 1):
        fitting = [key for key, value in found.items() if value.dim() == dimensions]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            break
    inside = ", ".join(f"{key}: {_shape(value)}" for key, value in entries.items())
    raise NotLogitsError(
        f"model: it returns a {type(returned).__name__}{f' ({inside})' if inside else ''}: must be logits [B, K], or "
        "hold one tensor [B, K], or one named logits"
    )


def _entries(returned: Any) -> dict[str | int, Any]:
    if isinstance(returned, Mapping):
        return dict(returned)
    return dict(enumerate(returned)) if isinstance(returned, tuple | list) else {}


def _shape(value: Any) -> str:
    """A tensor's shape, or the type of anything else."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"[{', '.join(['B', *map(str, value.shape[1:])][: value.dim()])}]"


def _take(returned: Any, entry: str | int | None) -> Tensor:
    if entry is None:
        values: Tensor = returned
    elif isinstance(entry, int) or isinstance(returned, Mapping):
        values = returned[entry]
    else:
        values = getattr(returned, entry)
    return values


def _count(values: Tensor, pair: Tensor | None) -> int:
    """How many outputs an image has, from those of one image and, where there are, of two."""
    if not values.is_floating_point():
        raise NotLogitsError(f"model: its output is {values.dtype}: must be logits [B, K], floating-point numbers")
    batch, found = (1, values) if pair is None else (2, pair)
    rows = found.dim() >= (2 if pair is None else 1) and len(found) == batch and found.shape[2:].numel() == 1
    if not rows or values.numel() == 0 or found.numel() != batch * values.numel():
        hint = "; reduce its maps to one value a class, as by a mean over the pixels" if found.dim() == 4 else ""
        raise NotLogitsError(f"model: its output is {_shape(found)}: must be logits [B, K]{hint}")
    return values.numel()


def _change(values: Tensor, others: Tensor) -> float:
    """Largest difference of two outputs, as a fraction of the largest of them; what is not finite in both is equal."""
    first, second = values.double(), others.double()
    same = (first == second) | (~first.isfinite() & ~second.isfinite())
    scale = first[first.isfinite()].abs().amax() if first.isfinite().any() else first.new_ones(())
    apart = torch.where(same, 0, (first - second).abs().nan_to_num(nan=torch.inf))
    return float((apart / scale.clamp_min(torch.finfo(first.dtype).tiny)).amax())


def _require_repeatable(values: Tensor, again: Tensor) -> None:
    """The same image twice: rounding alone may differ, as it does on GPUs."""
    if values.is_floating_point() and values.numel():
        same_shape = values.shape == again.shape
        change = _change(values, again) if same_shape else torch.inf
        if change > 1000 * torch.finfo(values.dtype).eps:
            raise NotLogitsError(
                f"model: the network gives different outputs for the same image (by {change:.1g} of the largest), "
                "though in evaluation mode: is there dropout or noise that stays on?"
            )


def _require_independent(alone: Tensor, beside: Tensor) -> None:
    """An image alone and beside another one: nothing but rounding may differ."""
    change = _change(alone, beside)
    if change > _DEPENDENT:
        raise NotLogitsError(
            f"model: the network's outputs for an image depend on the others in its batch (by {change:.1g} of the "
            "largest): is there batch normalisation with track_running_stats=False?"
        )


def _probabilities(rows: Tensor, network: Callable[[Tensor], Tensor], noise: Tensor) -> str:
    """A warning where outputs are probabilities and no logits, else nothing."""
    known = rows.detach().double()
    known = known[known.isfinite().all(1)]
    if not len(known) or bool((known < 0).any()) or bool((known > 1).any()):
        return ""
    if rows.shape[1] > 1 and bool(((known.sum(1) - 1).abs() < _ROUNDED).all()):
        return (
            "the network's outputs are non-negative and sum to 1, as after a softmax: explain the logits before it, "
            "or maps and certificates are those of another question"
        )
    if not _bounded(rows, network, noise):
        return ""
    return (
        "the network's outputs are in [0, 1], as after a sigmoid: explain the logits before it, and of an image that "
        "may have several labels one label's logit alone, [B, 1]; maps compare the outputs by a softmax"
    )


def _bounded(rows: Tensor, network: Callable[[Tensor], Tensor], noise: Tensor) -> bool:
    """Whether outputs in [0, 1] stay there: by the last operation, or by what pixels far from [0, 1] give."""
    node = rows.grad_fn
    while node is not None:
        operation = re.sub(r"Backward\d*$", "", node.name())
        if operation not in _RESHAPING:
            break
        node = node.next_functions[0][0]
    else:
        operation = ""
    if operation == "Sigmoid" or operation in _AFFINE:
        return operation == "Sigmoid"
    with torch.no_grad():
        far = network(_WIDE * (noise - 0.5)).double()
    # A constant says nothing.
    return len(rows.unique()) > 1 and bool(((far >= 0) & (far <= 1)).all())
