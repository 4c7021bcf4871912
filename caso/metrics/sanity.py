"""Whether a map depends on what it should: on the network's weights, and on the class that is explained."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from caso.arguments import Count
from caso.metrics.case import Case
from caso.metrics.metric import Metric, Score
from caso.metrics.ranking import MEAN_RANKS
from caso.metrics.similarity import rank_correlation

_RANK = (
    " Spearman correlation is that of the pixels' relevances, the sums of the map's magnitudes over the channels; "
    + MEAN_RANKS
)


@dataclass(frozen=True)
class _Dissimilarity(Metric):
    """Similarity to a map that should be another one."""

    family = "sanity"
    higher_is_better = False
    range = (-1.0, 1.0)


@dataclass(frozen=True)
class RandomisedLayers(_Dissimilarity):
    """Similarity to the maps of the network with more and more of its layers randomised, from the output backwards.

    Attributes:
        stages: how often maps are compared; stage s has the last s / stages of the layers randomised. Each costs an
            explanation.
        seed: of the random weights.
    """

    stages: Count = 4
    seed: int = 0

    name = "randomised_layers"
    source = "Adebayo et al. 2018, arXiv 1810.03292; the distribution of the weights is chosen here"
    axes = ("fraction of layers randomised", "Spearman correlation")
    sentence = (
        "Mean over the stages of the Spearman correlation between the map and that of the network whose last layers are"
        " randomised: each of their parameters is drawn from a normal distribution with its own mean and standard"
        " deviation, statistics of normalisation layers stay." + _RANK
    )
    needs = ("explain_with",)

    @property
    def explanations(self) -> int:
        """One a stage."""
        return self.stages

    def _score(self, case: Case) -> Score:
        if not isinstance(case.network, nn.Module):
            raise ValueError(f"{self.name}: needs the case's network as a torch.nn.Module, to randomise its layers")
        assert case.explain_with is not None
        values = []
        for stage in range(1, self.stages + 1):
            other = randomised(case.network, stage / self.stages, self.seed)
            maps = case.explain_with(other)(case.images, case.targets).detach()
            values.append(rank_correlation(case.maps, maps))
        curve = torch.stack(values, 1)
        x = torch.arange(1, self.stages + 1, dtype=torch.float64, device=curve.device) / self.stages
        return Score(curve.mean(1), curve, x)


def randomised(network: nn.Module, fraction: float, seed: int) -> nn.Module:
    """A copy of a network whose last layers have random weights.

    Layers are the modules that hold parameters of their own, in the order in which they were registered. The weights of
    a layer do not depend on how many layers are randomised.

    Args:
        network: stays as it is.
        fraction: of the layers, from 0 to 1; rounded up.
        seed: of the weights.

    Returns:
        the copy, in the same mode.

    Raises:
        ValueError: the network has no parameters.
    """
    with torch.inference_mode(False):  # weights made in inference mode could not enter autograd
        return _randomised(copy.deepcopy(network), fraction, seed)


def _randomised(network: nn.Module, fraction: float, seed: int) -> nn.Module:
    layers = [module for module in network.modules() if next(module.parameters(recurse=False), None) is not None]
    if not layers:
        raise ValueError("randomised_layers: the network has no parameters")
    count = -int(-fraction * len(layers) // 1)
    generator = torch.Generator().manual_seed(seed)
    seen: set[int] = set()
    for layer in layers[::-1][:count]:
        for parameter in layer.parameters(recurse=False):
            if id(parameter) in seen or not parameter.is_floating_point():
                continue
            seen.add(id(parameter))
            values = parameter.detach().double()
            spread = values.std(correction=0) if values.numel() else values
            draw = torch.randn(values.shape, generator=generator, dtype=torch.float64).to(values.device)
            parameter.data.copy_(values.mean() + spread * draw)
    return network


@dataclass(frozen=True)
class RandomClass(_Dissimilarity):
    """Similarity to the map of another class.

    Attributes:
        seed: of the other classes: each class has one, drawn from all the others.
    """

    seed: int = 0

    name = "random_class"
    source = "Sixt, Granz, Landgraf 2019, arXiv 1912.09818 (random logit)"
    sentence = (
        "Spearman correlation between the map and that of another class, drawn for each class from all the others; NaN"
        " for a network of one class." + _RANK
    )
    needs = ("explain",)

    @property
    def passes(self) -> int:
        """That of the untouched image, shared by all metrics, for the number of classes."""
        return 1

    def _score(self, case: Case) -> Score:
        classes = case.logits.shape[1]
        if classes == 1:
            return Score(torch.full((len(case.images),), torch.nan, dtype=torch.float64, device=case.images.device))
        others = other_classes(case.targets, classes, self.seed)
        return Score(rank_correlation(case.maps, case.explained(case.images, others)))


def other_classes(targets: Tensor, classes: int, seed: int) -> Tensor:
    """For each target a random other one of at least 2 classes; the same for every image with that target."""
    generator = torch.Generator().manual_seed(seed)
    shift = torch.randint(1, classes, (classes,), generator=generator).to(targets.device)
    return (targets + shift[targets]) % classes
