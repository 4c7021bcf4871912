"""Slow, literal versions of every metric; they import nothing from the library. One image and one map at a time.

Random draws follow the documented recipe: a CPU generator of that seed, float64, the same for every image.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Network = Callable[[Tensor], Tensor]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def relevance(attribution: Tensor) -> list[float]:
    """Sum of magnitudes over channels, pixel by pixel, row by row."""
    channels, height, width = attribution.shape
    return [sum(abs(float(attribution[c, y, x])) for c in range(channels)) for y in range(height) for x in range(width)]


def order(attribution: Tensor) -> list[int]:
    """Pixels by falling relevance, ties by position."""
    mass = relevance(attribution)
    return sorted(range(len(mass)), key=lambda i: (-mass[i], i))


def probability(network: Network, image: Tensor, label: int) -> float:
    logits = network(image[None])[0].detach().double()
    return float(logits[label].exp() / logits.exp().sum())


def predicted(network: Network, image: Tensor) -> int:
    return int(network(image[None])[0].argmax())


def substrate(name: str, image: Tensor, seed: int = 0) -> Tensor:
    result = torch.zeros_like(image)
    channels, height, width = image.shape
    if name == "noise":
        return torch.rand(image.shape, generator=generator(seed), dtype=torch.float64).to(image)
    if name == "black":
        return result
    kernel = [[math.exp(-((a - 5) ** 2 + (b - 5) ** 2) / (2 * 5.0**2)) for b in range(11)] for a in range(11)]
    total = sum(map(sum, kernel))
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                if name == "mean":
                    result[c, y, x] = image[c].sum() / (height * width)
                    continue
                for a in range(11):
                    for b in range(11):
                        row, column = min(max(y + a - 5, 0), height - 1), min(max(x + b - 5, 0), width - 1)
                        result[c, y, x] += kernel[a][b] / total * image[c, row, column]
    return result


def changed(before: Tensor, after: Tensor, pixels: Sequence[int]) -> Tensor:
    """A copy of `before` with some pixels, by position, from `after`."""
    result = before.clone()
    for pixel in pixels:
        y, x = divmod(pixel, before.shape[2])
        result[:, y, x] = after[:, y, x]
    return result


def curve(
    network: Network, before: Tensor, after: Tensor, pixels: Sequence[int], steps: int, label: int
) -> tuple[list[float], list[float]]:
    """Fractions and probabilities while `pixels` change one after the other, in equal steps."""
    n = len(pixels)
    steps = min(steps, n)
    counts = [k * n // steps for k in range(steps + 1)]
    values = [probability(network, changed(before, after, pixels[:count]), label) for count in counts]
    return [count / n for count in counts], values


def trapezoids(x: Sequence[float], y: Sequence[float]) -> float:
    return sum((x[i + 1] - x[i]) * (y[i] + y[i + 1]) / 2 for i in range(len(x) - 1))


def insertion(network: Network, image: Tensor, attribution: Tensor, label: int, steps: int, name: str) -> float:
    return trapezoids(*curve(network, substrate(name, image), image, order(attribution), steps, label))


def deletion(network: Network, image: Tensor, attribution: Tensor, label: int, steps: int, name: str) -> float:
    return trapezoids(*curve(network, image, substrate(name, image), order(attribution), steps, label))


def pixel_flipping(network: Network, image: Tensor, attribution: Tensor, label: int, steps: int, name: str) -> float:
    values = curve(network, image, substrate(name, image), order(attribution), steps, label)[1][1:]
    return sum(values) / len(values)


def aopc(network: Network, image: Tensor, attribution: Tensor, label: int, region: int, steps: int, name: str) -> float:
    height, width = image.shape[1:]
    regions = [
        [y * width + x for y in range(top, min(top + region, height)) for x in range(left, min(left + region, width))]
        for top in range(0, height, region)
        for left in range(0, width, region)
    ]
    mass = relevance(attribution)
    sums = [sum(mass[pixel] for pixel in one) for one in regions]
    ranked = sorted(range(len(regions)), key=lambda i: (-sums[i], i))[:steps]
    clean, other = probability(network, image, label), substrate(name, image)
    drops, gone = [0.0], []
    for index in ranked:
        gone += regions[index]
        drops.append(clean - probability(network, changed(image, other, gone), label))
    return sum(drops) / len(drops)


def impute(image: Tensor, removed: Sequence[int]) -> Tensor:
    """Solve the dense system of the removed pixels, channel by channel."""
    _, height, width = image.shape
    row = {pixel: i for i, pixel in enumerate(removed)}
    matrix = torch.zeros(len(removed), len(removed), dtype=torch.float64)
    right = torch.zeros(len(removed), image.shape[0], dtype=torch.float64)
    for pixel, i in row.items():
        y, x = divmod(pixel, width)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                if (dy or dx) and 0 <= y + dy < height and 0 <= x + dx < width:
                    weight = 1 / 12 if dy and dx else 1 / 6
                    matrix[i, i] += weight
                    neighbour = (y + dy) * width + x + dx
                    if neighbour in row:
                        matrix[i, row[neighbour]] -= weight
                    else:
                        right[i] += weight * image[:, y + dy, x + dx].double()
    result = image.clone()
    solution = torch.linalg.solve(matrix, right) if removed else right
    for pixel, i in row.items():
        y, x = divmod(pixel, width)
        result[:, y, x] = solution[i].to(image)
    return result


def road(
    network: Network, image: Tensor, attribution: Tensor, label: int, fractions: Sequence[float], least: bool,
    noise: float, seed: int, accuracy: bool = False,
) -> float:  # fmt: skip
    pixels = order(attribution)[::-1] if least else order(attribution)
    draw = noise * torch.randn(image.shape, generator=generator(seed), dtype=torch.float64).to(image)
    values = []
    for fraction in fractions:
        gone = pixels[: int(fraction * len(pixels))]
        filled = impute(image, gone)
        filled = changed(filled, filled + draw, gone)
        right = float(predicted(network, filled) == label)
        values.append(right if accuracy else probability(network, filled, label))
    return sum(values) / len(values)


def infidelity(
    network: Network, image: Tensor, attribution: Tensor, label: int, samples: int, stddev: float, seed: int
) -> float:
    noise = stddev * torch.randn(samples, *image.shape, generator=generator(seed), dtype=torch.float64)
    clean = probability(network, image, label)
    predictions = torch.stack([(one * attribution.double()).sum() for one in noise])
    drops = torch.tensor(
        [clean - probability(network, image - one.to(image), label) for one in noise], dtype=torch.float64
    )
    factor = torch.linalg.lstsq(predictions[:, None], drops[:, None], driver="gelsd").solution[0, 0]
    return float(((factor * predictions - drops) ** 2).sum() / samples)


def ranks(values: Sequence[float]) -> list[float]:
    """Mean rank of each value, by counting."""
    return [sum(v < w for v in values) + (sum(v == w for v in values) - 1) / 2 for w in values]


def pearson(a: Sequence[float], b: Sequence[float]) -> float:
    a, b = ([v - sum(values) / len(values) for v in values] for values in (a, b))
    lengths = [math.sqrt(sum(v * v for v in values)) for values in (a, b)]
    if min(lengths) == 0:
        return float(max(lengths) == 0)
    return sum(v * w for v, w in zip(a, b, strict=True)) / lengths[0] / lengths[1]


def spearman(a: Tensor, b: Tensor) -> float:
    return pearson(ranks(relevance(a)), ranks(relevance(b)))


def overlap(a: Tensor, b: Tensor, k: int) -> float:
    first, second = set(order(a)[:k]), set(order(b)[:k])
    return len(first & second) / len(first)


def jaccard(a: Tensor, b: Tensor, fraction: float) -> float:
    k = max(1, round(fraction * a[0].numel()))
    first, second = set(order(a)[:k]), set(order(b)[:k])
    return len(first & second) / len(first | second)


def cosine(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum() / (a.square().sum().sqrt() * b.square().sum().sqrt()))


def gini(attribution: Tensor) -> float:
    """Mean difference of all pairs, over twice the mean."""
    values = [abs(float(v)) for v in attribution.flatten()]
    if not any(values):
        return 0.0
    pairs = sum(abs(v - w) for v in values for w in values)
    return pairs / (2 * len(values) * sum(values))


def entropy(attribution: Tensor) -> float:
    values = [abs(float(v)) for v in attribution.flatten()]
    if not any(values):
        return math.log(len(values))
    return -sum(v / sum(values) * math.log(v / sum(values)) for v in values if v)


def median_difference(attribution: Tensor, fraction: float) -> float:
    mass = sorted(relevance(attribution), reverse=True)
    if mass[0] == 0:
        return 0.0
    top = min(max(1, round(fraction * len(mass))), len(mass) - 1)
    return (statistics.median(mass[:top]) - statistics.median(mass[top:])) / mass[0]


def scaled_noise(image: Tensor, epsilon: float, seed: int) -> Tensor:
    draw = torch.randint(2, (1, *image.shape), generator=generator(seed))[0]
    result = image.clone()
    for i in range(image.numel()):
        sign = 1 if int(draw.flatten()[i]) else -1
        value = float(image.flatten()[i])
        result.view(-1)[i] = min(max(value + epsilon * sign * value, 0.0), 1.0)
    return result


def share(network: Network, image: Tensor, target: int, pixels: Sequence[int]) -> tuple[float, Tensor, int]:
    """Share of the gradient map's mass on some pixels, its gradient, and the predicted class."""
    image = image.detach().clone().requires_grad_(True)
    logits = network(image[None])[0]
    loss = torch.logsumexp(logits, 0) - logits[target]
    (gradient,) = torch.autograd.grad(loss, image, create_graph=True)
    mass = gradient.abs().sum(0).flatten()
    value = torch.stack([mass[pixel] for pixel in pixels]).sum() / mass.sum()
    (slope,) = torch.autograd.grad(value, image)
    return float(value.detach()), slope, int(logits.argmax())


def attack(
    network: Network, image: Tensor, attribution: Tensor, target: int, epsilon: float, steps: int, k: int, halve: bool
) -> Tensor:
    pixels = order(attribution)[:k]
    least, slope, label = share(network, image, target, pixels)
    best, here, size = image, image, epsilon / steps
    for _ in range(steps):
        trial = (here - size * slope.sign()).clamp(0, 1)
        value, steeper, now = share(network, trial, target, pixels)
        if now != label:
            if not halve:
                break
            size /= 2
            continue
        here, slope = trial, steeper
        if value < least:
            least, best = value, trial
    return best


def sensitivity(
    explain: Callable[[Tensor], Tensor], image: Tensor, attribution: Tensor, radius: float, samples: int, seed: int
) -> float:
    source, worst = generator(seed), 0.0
    for _ in range(samples):
        draw = torch.rand(1, *image.shape, generator=source, dtype=torch.float64)[0]
        other = explain(image + (radius * (2 * draw - 1)).to(image))
        distance = float((other.double() - attribution.double()).square().sum().sqrt())
        size = float(attribution.double().square().sum().sqrt())
        worst = max(worst, distance / size if size else distance)
    return worst


def randomised(network: nn.Module, count: int, seed: int) -> nn.Module:
    """A copy whose last `count` layers have weights from a normal distribution of their own mean and deviation."""
    duplicate, source = copy.deepcopy(network), generator(seed)
    layers = [m for m in duplicate.modules() if m._parameters and any(p is not None for p in m._parameters.values())]
    for layer in list(reversed(layers))[:count]:
        for parameter in layer._parameters.values():
            if parameter is None:
                continue
            values = parameter.detach().double().flatten()
            mean = sum(values) / len(values)
            deviation = (sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5
            draw = torch.randn(parameter.shape, generator=source, dtype=torch.float64)
            parameter.data = (mean + deviation * draw).to(parameter)
    return duplicate


def hessian(network: Network, image: Tensor, label: int) -> tuple[Tensor, Tensor]:
    """Gradient `[d]` and Hessian `[d, d]` of the cross-entropy at an image, by automatic differentiation."""

    def loss(x: Tensor) -> Tensor:
        logits = network(x.view(1, *image.shape))[0]
        return logits.logsumexp(0) - logits[label]

    x = image.flatten()
    return torch.autograd.functional.jacobian(loss, x), torch.autograd.functional.hessian(loss, x)


def gauss_newton(network: Network, image: Tensor) -> Tensor:
    """`J^T (diag p - p p^T) J`, `[d, d]`."""
    jacobian = torch.autograd.functional.jacobian(lambda x: network(x.view(1, *image.shape))[0], image.flatten())
    p = network(image[None])[0].detach().softmax(0)
    return jacobian.T @ (torch.diag(p) - torch.outer(p, p)) @ jacobian


def with_classes(network: Network, image: Tensor, label: int, k: int) -> tuple[Network, int]:
    """The network with the explained class and its k - 1 most probable rivals alone, and the class's new index."""
    logits = network(image[None])[0].tolist()
    rivals = sorted((i for i in range(len(logits)) if i != label), key=lambda i: (-logits[i], i))
    kept = [label, *rivals[: k - 1]]
    return lambda x: network(x)[:, kept], 0


def leading_share(network: Network, image: Tensor, label: int) -> float:
    values = torch.linalg.eigvalsh(hessian(network, image, label)[1])
    return float(values[-1] / values.sum())


def leading_cosine(network: Network, image: Tensor, label: int) -> float:
    gradient, curvature = hessian(network, image, label)
    vector = torch.linalg.eigh(curvature)[1][:, -1]
    return abs(float(vector @ gradient / gradient.norm()))


def distance_of_maps(network: Network, image: Tensor, label: int, lambda2: float) -> float:
    """Distance of CASO's and CAFO's maps at lambda1 = 0, each of length 1."""
    gradient, curvature = hessian(network, image, label)
    shift = lambda2 + torch.linalg.eigvalsh(curvature)[-1]
    second = torch.linalg.solve(shift * torch.eye(len(gradient), dtype=gradient.dtype) - curvature, gradient)
    first = gradient / lambda2
    return float((second / second.norm() - first / first.norm()).norm())
