"""The logits' Jacobian at each of some images, by its products."""

from __future__ import annotations

import torch
from torch import Tensor

from caso.network import Prepared


class Jacobian:
    """The logits' Jacobian `J` `[K, d]` at each of some images, from one forward pass.

    Args:
        network: the network.
        images: `[b, ...]`.
    """

    def __init__(self, network: Prepared, images: Tensor) -> None:
        """Run the network."""
        self._inputs = network.layout(images).detach().requires_grad_()
        self._outputs = network(self._inputs)
        self._cotangent: Tensor | None = None
        self.logits = self._outputs.detach().double()

    def __len__(self) -> int:
        """How many images."""
        return len(self.logits)

    def vjp(self, cotangents: Tensor) -> Tensor:
        """`J'c` of cotangents `[b, K]`: `[b, d]`, in the network's dtype."""
        return torch.autograd.grad(
            self._outputs, self._inputs, cotangents.to(self._outputs.dtype), retain_graph=True, materialize_grads=True
        )[0].flatten(1)

    def jvp(self, directions: Tensor) -> Tensor:
        """`J v` of directions `[b, d]`: `[b, K]`, in float64; the pull-back, being linear, is derived once more."""
        if self._cotangent is None:
            self._cotangent = torch.zeros_like(self._outputs).requires_grad_()
            (self._pulled,) = torch.autograd.grad(
                self._outputs, self._inputs, self._cotangent, create_graph=True, materialize_grads=True
            )
        v = directions.to(self._pulled.dtype).view_as(self._pulled)
        return torch.autograd.grad(self._pulled, self._cotangent, v, retain_graph=True, materialize_grads=True)[
            0
        ].double()


def softmax_gradient(p: Tensor, classes: Tensor) -> Tensor:
    """Gradient of `log p_k` with respect to the logits, `e_k - p`, for a class k of each image, `[b, K]`.

    Exact where p_k is close to 1.
    """
    index = classes[:, None]
    others = p.scatter(1, index, 0.0)
    return (-others).scatter(1, index, others.sum(1, keepdim=True))
