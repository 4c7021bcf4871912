"""What PyTorch says of a network that cannot be differentiated often enough, in one line that says what to do."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from torch import Tensor

from caso.curvature.quadratic_model import QuadraticModel

_UNDIFFERENTIABLE = "autograd kernel was not registered"
"""In what PyTorch warns of, before it goes on with zeros."""

_OPERATION = (
    r"derivative for '?(?:aten::)?([\w:]+)'? is not implemented",
    r"double backwards on (\w+) not supported",
    r"Double backwards is not supported for (\w+ RNN)s",
    rf"([\w:.]+): an {_UNDIFFERENTIABLE}",
    r"no autograd formula was registered.*?\b(\w+::\w+)",
    r"backward through (\w+(?:[:.]+\w+)*) but no autograd formula",
)
_INSTEAD = {
    "hardsigmoid_backward": "as relu6(x + 3) / 6",
    "_scaled_dot_product": "as softmax(q k' / sqrt(d)) v",
    "RNN": "as a loop over its cell",
}
"""How to write an operation, by a part of the name under which it fails."""

_TWICE = "the network cannot be differentiated twice: "
_OTHERWISE = "; or explain it to first order (caso.CAFO, order=first), which takes one derivative"
_ONCE = (
    f"{_TWICE}one of its torch.autograd.Functions is marked once_differentiable; write its backward with operations "
    f"that autograd knows, without the mark{_OTHERWISE}"
)


class NotDifferentiableError(RuntimeError):
    """The network has no gradient, or no Hessian, that PyTorch can give; the message names the operation."""


def explained(error: BaseException) -> NotDifferentiableError | None:
    """Say in one line which operation failed and what to do, or None where an error is of another kind."""
    text = " ".join(str(error).split())
    if "does not require grad" in text:
        return NotDifferentiableError(
            "the network has no gradient: between pixels and logits is an operation without a derivative (rounding, "
            "argmax, an index made of pixels, detach, torch.no_grad); replace it"
        )
    if "once_differentiable" in text:
        return NotDifferentiableError(_ONCE)
    for pattern in _OPERATION:
        if found := re.search(pattern, text):
            name = found[1]
            how = next((how for part, how in _INSTEAD.items() if part in name), "with other operations")
            if _UNDIFFERENTIABLE in text or "autograd formula" in text:
                return NotDifferentiableError(
                    f"the network has no gradient: {name} has no derivative; register one, or write it {how}"
                )
            return NotDifferentiableError(f"{_TWICE}{name} has no derivative; write it {how}{_OTHERWISE}")
    return None


def refuse_once_differentiable(derivative: Tensor) -> None:
    """Raise where a differentiable gradient `[B, ...]` passed through a function marked `once_differentiable`.

    PyTorch raises only where its mark lies on the way; `torch.autograd.grad` goes around it, and gives a Hessian
    without this function's part.

    Raises:
        NotDifferentiableError: it did.
    """
    waiting, seen = [derivative.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if node.name() == "torch::autograd::Error":
            raise NotDifferentiableError(_ONCE)
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]


@contextmanager
def clear_errors() -> Iterator[None]:
    """Within, missing derivatives raise a `NotDifferentiableError`, those that PyTorch takes for zero included."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", f".*{_UNDIFFERENTIABLE}")
            yield
    except (RuntimeError, UserWarning) as error:
        reason = explained(error)
        if reason is None:
            raise
        raise reason from error


def with_clear_errors(model: QuadraticModel) -> QuadraticModel:
    """The same model, whose Hessian-vector products raise clear errors, too."""
    assert model.hessian is not None
    product = model.hessian.product

    def guarded(v: Tensor) -> Tensor:
        with clear_errors():
            return product(v)

    return replace(model, hessian=replace(model.hessian, product=guarded))
