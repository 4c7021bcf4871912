"""The images that a run explained, as its network saw them."""

from collections.abc import Iterable
from typing import Any

from PIL import Image
from torch import Tensor

from caso import plot
from caso.runner.data import find_samples
from caso.runner.models import Classifier, find_model
from caso.runner.results.store import Run
from experiments.drawing import image_uri


def classifier(run: Run) -> Classifier:
    """Load the network that a run explained."""
    return find_model(run.config.model).load()


def photographs(run: Run, names: Iterable[str], model: Classifier | None = None) -> dict[str, Tensor]:
    """Read images of a run again.

    Args:
        run: Whose settings say where the images are.
        names: Their ids.
        model: The run's, if it is loaded already.

    Returns:
        Pixels ``[C, H, W]`` in [0, 1] by id.
    """
    wanted = list(names)
    samples = find_samples(run.config.dataset, run.config.seed)
    index = {name: i for i, name in enumerate(samples.ids)}
    preprocessing = (model or classifier(run)).preprocessing
    return {name: preprocessing(samples[index[name]].read()) for name in wanted}


def photograph_uri(pixels: Tensor) -> str:
    """An image ``[C, H, W]`` as a data URI."""
    return image_uri(Image.fromarray(plot.photograph(pixels)), quality=80)


def map_uri(attribution: Any) -> str:
    """A map ``[C, H, W]`` as a data URI, in colour."""
    return image_uri(Image.fromarray(plot.colour(attribution)), quality=45)
