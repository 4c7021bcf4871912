"""Hugging Face data sets that `save_to_disk` wrote. They need the extra `huggingface`."""

from dataclasses import dataclass
from typing import Any

from caso.extras import needs
from caso.runner.cli.messages import ConfigError, choices, describe, nearest
from caso.runner.components import Component
from caso.runner.data.decoding import Picture, UnreadableImageError, read_bytes, read_image
from caso.runner.data.files import folder_of
from caso.runner.data.imagefolder import ImageFolder
from caso.runner.data.samples import Samples


@dataclass
class HuggingFace(ImageFolder):
    """Options of a Hugging Face data set on disk."""

    split: str | None = None
    image: str | None = None
    label: str | None = None
    id: str | None = None


@dataclass(frozen=True)
class Rows:
    """Reads a column of images.

    Attributes:
        dataset: With the images not yet decoded.
        column: The images'.
    """

    dataset: Any
    column: str

    def __call__(self, index: int) -> Picture:
        """Read one image."""
        from pathlib import Path

        stored = self.dataset[index][self.column]
        if stored is None:
            raise UnreadableImageError("there is no image in this row")
        if stored["bytes"] is not None:
            return read_bytes(stored["bytes"], stored["path"] or "")
        return read_image(Path(stored["path"]))


def huggingface(options: Any, seed: int) -> Samples:
    """List the rows of a data set on disk.

    Args:
        options: ``root``: the folder. ``split``: one of its splits, if it has any. ``image``, ``label`` and
            ``id``: columns; None for the first of images, the first of class labels, and the row's number.
        seed: Not used.

    Raises:
        ConfigError: If the folder holds no such data set, split or column.
        MissingPackageError: If the package is not installed.
    """
    with needs("huggingface", "dataset=huggingface"):
        import datasets
    root = folder_of(options, "root")
    try:
        loaded = datasets.load_from_disk(str(root))
    except Exception as error:  # of arrow, of the file system, of the package
        raise ConfigError("dataset.root", options.root, f"is no data set on disk ({describe(error)[:200]})") from error
    if isinstance(loaded, dict):
        split = str(options.split)
        if options.split is None and len(loaded) == 1:
            split = next(iter(loaded))
        if split not in loaded:
            raise ConfigError("dataset.split", options.split, f"must be {choices(list(loaded))}")
        loaded = loaded[split]
    features = loaded.features
    image = _column(options, "image", features, datasets.Image)
    label = _column(options, "label", features, datasets.ClassLabel)
    if image is None:
        raise ConfigError("dataset.image", None, f"no column holds images; there are {', '.join(features)}")
    if not isinstance(features[image], datasets.Image):
        raise ConfigError("dataset.image", image, "this column does not hold images")
    names = list(features[label].names) if label and isinstance(features[label], datasets.ClassLabel) else None
    labels = None if label is None else [None if one is None or one < 0 else int(one) for one in loaded[label][:]]
    own = _column(options, "id", features, None)
    ids = [f"{n:07}" for n in range(len(loaded))] if own is None else [str(one) for one in loaded[own][:]]
    return Samples(ids, Rows(loaded.cast_column(image, datasets.Image(decode=False)), image), labels, names)


def _column(options: Any, key: str, features: Any, kind: Any) -> str | None:
    """Take the column that the user names, else the first of a kind."""
    given = options.get(key)
    if given is not None:
        if given not in features:
            close = nearest(str(given), list(features)) or list(features)
            raise ConfigError(f"dataset.{key}", given, f"no such column; there is {choices(close)}")
        return str(given)
    return next((name for name, one in features.items() if kind is not None and isinstance(one, kind)), None)


COMPONENT = Component(("huggingface",), HuggingFace, huggingface)
