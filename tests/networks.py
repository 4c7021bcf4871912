"""Small seeded classifiers for the tests, and a toy of known Hessian."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests import devices

DOUBLE = torch.float64


def calibrate(model: nn.Module, inputs: Tensor) -> nn.Module:
    """Sets BatchNorm's running statistics from `inputs` in one pass, so that random networks keep their scale."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
    model.train()
    with torch.no_grad():
        model(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()


def _sequential(make: Callable[[], nn.Module], channels: int, classes: int, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(channels, 8, 3, padding=1)]
    layers += [nn.BatchNorm2d(8)] if norm else []
    layers += [make(), nn.Conv2d(8, 8, 3, stride=2, padding=1, bias=not norm)]
    layers += [nn.BatchNorm2d(8)] if norm else []
    layers += [make(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, classes)]
    return nn.Sequential(*layers)


def small(
    activation: Callable[[], nn.Module] = nn.ReLU,
    *,
    channels: int = 3,
    classes: int = 6,
    norm: bool = False,
    gain: float | None = None,
    seed: int = 0,
    dtype: torch.dtype = DOUBLE,
) -> nn.Module:
    """A two-convolution classifier for small images, in eval mode; `gain` scales its logits (40, or 8 with `norm`)."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _sequential(activation, channels, classes, norm)
        with torch.no_grad():
            model[0].weight.mul_(2)
            model[-1].weight.mul_(gain or (8.0 if norm else 40.0))  # type: ignore[operator]
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, 0.0, 0.3)
                nn.init.uniform_(module.running_var, 0.3, 2.0)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0.0, 0.3)
    return model.to(devices.DEVICE, dtype).eval()


class StraightThrough(torch.autograd.Function):
    """Rounds, and passes gradients as if it did not."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return (8 * x).round() / 8

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return grad


class Residual(nn.Module):
    """An in-place ReLU after an addition, a functional ReLU, and a ReLU module used twice."""

    def __init__(self, classes: int = 6) -> None:
        """Builds the layers."""
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[B, 3, H, W]` to logits."""
        x = self.relu(self.stem(x))
        y = self.norm(self.conv(x))
        y += x
        y = self.relu(y)
        return self.head(torch.relu(y - 0.1).mean((2, 3)) * 30)


def residual(dtype: torch.dtype = DOUBLE, seed: int = 0) -> nn.Module:
    """A seeded `Residual` in eval mode, with running statistics that are not trivial."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Residual().to(devices.DEVICE)
        calibrate(model, torch.randn(32, 3, 8, 8))
    return model.to(devices.DEVICE, dtype).eval()


class DataDependent(nn.Module):
    """Control flow that depends on the values: no graph holds for every input."""

    def __init__(self, inner: nn.Module) -> None:
        """Wraps a classifier."""
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Doubles the logits of bright images."""
        logits = self.inner(x)
        factors = [2 if float(image.detach().mean()) > 0.5 else 1 for image in x]
        return torch.stack([z * factor for z, factor in zip(logits, factors, strict=True)])


class SoftmaxRegression(nn.Module):
    """Logits `A x + b` of flattened pixels: the Hessian is `A^T (diag p - p p^T) A`, of chosen rank and condition."""

    def __init__(
        self, shape: tuple[int, int, int], rank: int, condition: float, scale: float, sharpness: float, seed: int
    ) -> None:
        """Draws `A` with `rank` singular values from `scale` down to `scale / condition`.

        Args:
            shape: channels, height, width.
            rank: rank of the Hessian (`rank + 1` classes).
            condition: ratio of the largest to the smallest singular value of `A`.
            scale: largest singular value of `A`.
            sharpness: spread of the biases: 0 for an even softmax, 5 for a confident one.
            seed: of the draw.
        """
        super().__init__()
        d, classes = shape[0] * shape[1] * shape[2], rank + 1
        generator = torch.Generator().manual_seed(seed)
        left = torch.linalg.qr(torch.randn(classes, rank, generator=generator, dtype=DOUBLE))[0]
        right = torch.linalg.qr(torch.randn(d, rank, generator=generator, dtype=DOUBLE))[0]
        values = scale * torch.logspace(0, -1, rank, base=condition, dtype=DOUBLE)
        self.linear = nn.Linear(d, classes, dtype=DOUBLE)
        with torch.no_grad():
            self.linear.weight.copy_(left @ torch.diag(values) @ right.T)
            self.linear.bias.copy_(sharpness * torch.randn(classes, generator=generator, dtype=DOUBLE))

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[B, C, H, W]` to logits `[B, rank + 1]`."""
        return self.linear(x.flatten(1))


def softmax_regression(
    shape: tuple[int, int, int] = (3, 4, 4),
    *,
    rank: int = 4,
    condition: float = 10.0,
    scale: float = 10.0,
    sharpness: float = 1.0,
    seed: int = 0,
    dtype: torch.dtype = DOUBLE,
) -> nn.Module:
    """A `SoftmaxRegression` in eval mode and in `dtype`; its weights are drawn in float64."""
    return SoftmaxRegression(shape, rank, condition, scale, sharpness, seed).to(devices.DEVICE, dtype).eval()


class Broken(nn.Module):
    """Returns NaN for images brighter than a half on average, and the inner classifier's logits for the others."""

    def __init__(self, inner: nn.Module) -> None:
        """Wraps a classifier."""
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Adds NaN where the image is bright."""
        bright = (x.mean((1, 2, 3)) > 0.5).unsqueeze(1)
        return torch.where(bright, torch.full_like(x[:, :1, 0, 0], torch.nan), self.inner(x))


def images(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> Tensor:
    """Seeded uniform pixels in [0, 1), drawn in float64."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE).to(dtype)
