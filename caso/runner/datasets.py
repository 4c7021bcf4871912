"""Sets of images, found by the key ``dataset``: which images there are, and under which stable ids.

A data set here is a list of :class:`Sample`, cheap to make and checked before any weights load. Reading happens later,
sample by sample, in :class:`caso.runner.loading.PixelDataset`.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from caso.runner.errors import ConfigError, choices, nearest
from caso.runner.images import read_image

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


@dataclass(frozen=True)
class Sample:
    """One image.

    Attributes:
        id: Stable and unique in its data set: the same whatever the order, the batch size and the machine.
        path: Its file.
        crop: A seed and a smallest area for a random crop, or None for the whole image.
    """

    id: str
    path: Path
    crop: tuple[str, float] | None = None

    def read(self) -> Image.Image:
        """Read the image as RGB.

        Raises:
            UnreadableImageError: If it cannot be read.
        """
        image = read_image(self.path)
        return image if self.crop is None else image.crop(crop_box(image.size, *self.crop))


def photos(options: Any, seed: int) -> list[Sample]:
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
    return [Sample(name, folder / PHOTOS[name]) for name in names]


def images(options: Any, seed: int) -> list[Sample]:
    """List a file, a folder's image files (by name, without its subfolders), or a list of both.

    Args:
        options: ``path``: a path or a list of paths.
        seed: Not used.

    Raises:
        ConfigError: If a path does not exist, or there is no image.
    """
    given = options.path
    if given is None or (not isinstance(given, str | int | float) and len(given) == 0):
        raise ConfigError("image", given, "give a file, a folder or a list of files")
    entries = [Path(str(p)).expanduser() for p in ([given] if isinstance(given, str | int | float) else given)]
    files: list[Path] = []
    for entry in entries:
        if entry.is_dir():
            found = sorted(p for p in entry.iterdir() if p.is_file() and is_image_name(p))
            if not found:
                raise ConfigError("image", entry, "the folder holds no image (dataset=imagefolder reads class folders)")
            files.extend(found)
        elif entry.exists():
            files.append(entry)
        else:
            raise ConfigError("image", entry, "no such file or folder" + _near_files(entry))
    files = list(dict.fromkeys(files))
    return [Sample(name, path) for name, path in zip(_short_names(files), files, strict=True)]


def imagefolder(options: Any, seed: int) -> list[Sample]:
    """List the image files below a folder of class folders, by path.

    Args:
        options: ``root``: the folder.
        seed: Not used.

    Raises:
        ConfigError: If the folder does not exist or holds no image.
    """
    root = Path(options.root).expanduser()
    if not root.is_dir():
        raise ConfigError("dataset.root", options.root, "no such folder")
    files = sorted(p for p in root.rglob("*") if p.is_file() and is_image_name(p))
    if not files:
        raise ConfigError("dataset.root", options.root, "the folder holds no image")
    return [Sample(p.relative_to(root).as_posix(), p) for p in files]


def crops(options: Any, seed: int) -> list[Sample]:
    """List random resized crops of another data set: many real images of every confidence.

    The crops are dealt to the source's images in turn. Each has its own generator, seeded by the run's seed and the
    crop's number and image: neither batch size nor workers nor the number of crops change it.

    Args:
        options: ``n`` crops of at least ``min_area`` (a fraction of the image), from the data set ``source``.
        seed: The run's seed.

    Raises:
        ConfigError: If the source is wrong.
    """
    source = find_samples(options.source, seed)
    made = []
    for number in range(options.n):
        sample = source[number % len(source)]
        name = f"{sample.id}#{number // len(source)}"
        made.append(Sample(name, sample.path, (f"{seed}/{name}", float(options.min_area))))
    return made


DATASETS: dict[str, Callable[[Any, int], list[Sample]]] = {
    "photos": photos,
    "images": images,
    "imagefolder": imagefolder,
    "crops": crops,
}


def find_samples(options: Any, seed: int) -> list[Sample]:
    """List the samples of the data set that a node of the configuration describes.

    Raises:
        ConfigError: If its name is unknown or an option is wrong.
    """
    if options is None or options.name not in DATASETS or (options.name == "crops" and "n" not in options):
        raise ConfigError("dataset", getattr(options, "name", None), f"must be {choices(DATASETS)}")
    return DATASETS[options.name](options, seed)


def crop_box(size: tuple[int, int], seed: str, min_area: float) -> tuple[int, int, int, int]:
    """Draw a crop: area uniform in ``[min_area, 1]`` of the image, aspect ratio log-uniform in [3/4, 4/3].

    Args:
        size: Width and height of the image, in pixels.
        seed: Of the crop's own generator.
        min_area: Smallest area, in (0, 1].

    Returns:
        Left, top, right and bottom, in pixels.
    """
    width, height = size
    generator = random.Random(seed)
    for _ in range(10):
        area = generator.uniform(min_area, 1) * width * height
        ratio = (3 / 4) ** generator.uniform(-1, 1)
        w, h = max(1, round((area * ratio) ** 0.5)), max(1, round((area / ratio) ** 0.5))
        if w <= width and h <= height:
            left, top = generator.randint(0, width - w), generator.randint(0, height - h)
            return left, top, left + w, top + h
    return 0, 0, width, height  # no crop of such a shape fits: a very long image


def is_image_name(path: Path) -> bool:
    """Tell by its ending whether a file is meant to be an image that Pillow reads."""
    return path.suffix.lower() in Image.registered_extensions() and path.suffix.lower() not in {".pdf", ".mpg", ".mpeg"}


def _short_names(files: Sequence[Path]) -> list[str]:
    """Name files by their names alone, or, where two would be alike, by their paths below the common folder."""
    names = [path.name for path in files]
    if len(set(names)) == len(names):
        return names
    paths = [path.absolute() for path in files]
    shared = 0
    while len({path.parts[: shared + 1] for path in paths}) == 1:
        shared += 1
    return ["/".join(path.parts[shared:]) for path in paths]


def _near_files(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    close = nearest(path.name, [p.name for p in path.parent.iterdir()])
    return f"; did you mean {choices(close)}?" if close else ""
