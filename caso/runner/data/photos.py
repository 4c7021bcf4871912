"""The photographs inside scikit-image: real images that any machine has."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from caso.runner.cli.messages import ConfigError
from caso.runner.components import Component
from caso.runner.data.files import Files
from caso.runner.data.samples import Samples
from caso.runner.data.subset import Subset

# The photographs in scikit-image's wheel; its other pictures are fetched or are no photographs.
PHOTOS = {
    "astronaut": "astronaut.png",
    "camera": "camera.png",
    "chelsea": "chelsea.png",
    "clock_motion": "clock_motion.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "hubble_deep_field": "hubble_deep_field.jpg",
    "moon": "moon.png",
    "motorcycle": "motorcycle_left.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
}


@dataclass
class Photos:
    """Options of the photographs inside scikit-image."""

    name: str = MISSING
    names: list[str] | None = None
    subset: Subset = field(default_factory=Subset)


def photos(options: Any, seed: int) -> Samples:
    """List the photographs inside scikit-image.

    Args:
        options: ``names``: some of :data:`PHOTOS`, or None for all.
        seed: Not used.

    Raises:
        ConfigError: If a name is unknown.
    """
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    names = list(PHOTOS) if options.names is None else list(options.names)
    for name in names:
        if name not in PHOTOS:
            raise ConfigError("dataset.names", name, f"must be among {', '.join(PHOTOS)}")
    return Samples(names, Files([str(folder / PHOTOS[name]) for name in names]))


COMPONENT = Component(("photos",), Photos, photos)
