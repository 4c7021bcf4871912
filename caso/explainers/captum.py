"""What Captum's own code expects of an attribution method."""

from __future__ import annotations

from typing import Any, overload

import torch
from torch import Tensor, nn

from caso.arguments import Target
from caso.results import Explanation


class CaptumInterface:
    """Lets Captum's metrics and its `NoiseTunnel` take an explainer for one of Captum's attribution methods."""

    model: nn.Module

    def explain(self, inputs: Tensor, target: Target = None) -> Explanation:
        """Explain a batch of images."""
        raise NotImplementedError

    @overload
    def attribute(self, inputs: Tensor, target: Target = None, additional_forward_args: Any = None) -> Tensor: ...

    @overload
    def attribute(
        self, inputs: tuple[Tensor], target: Target = None, additional_forward_args: Any = None
    ) -> tuple[Tensor]: ...

    # NoiseTunnel calls what `attribute` decorates: any decorator serves.
    @torch.enable_grad()
    def attribute(
        self, inputs: Tensor | tuple[Tensor], target: Target = None, additional_forward_args: Any = None
    ) -> Tensor | tuple[Tensor]:
        """Maps alone, as Captum's methods return them; see `explain`.

        Args:
            inputs: pixels `[B, ...]`, or a tuple of one such tensor.
            target: as in `explain`.
            additional_forward_args: must be None: a network is explained as a function of its pixels alone.

        Returns:
            maps shaped like the pixels, in float32 or, for such inputs, float64; in a tuple where inputs came in one.

        Raises:
            ValueError: an argument does not fit, with the reason.
        """
        if additional_forward_args is not None:
            raise ValueError(
                f"additional_forward_args of type {type(additional_forward_args).__name__}: must be None; wrap the "
                "network in a module of the pixels alone"
            )
        if not isinstance(inputs, tuple):
            return self.explain(inputs, target).maps
        if len(inputs) != 1:
            raise ValueError(f"inputs of {len(inputs)} tensors: must be one tensor, or a tuple of one")
        return (self.explain(inputs[0], target).maps,)

    @property
    def forward_func(self) -> nn.Module:
        """The model, by the name that Captum gives it."""
        return self.model

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether maps are multiplied by the pixels, as Captum asks: they are sensitivities, and are not."""
        return False

    def has_convergence_delta(self) -> bool:
        """Captum's convergence delta is that of methods that distribute the output; maps here have error bounds."""
        return False
