"""The types of the configuration's keys, known to Hydra before any file is read.

They turn a misspelt key and a value of the wrong type into an error while the configuration is composed. Ranges are
checked afterwards, in :mod:`caso.runner.cli.validation`. Defaults live in ``conf/`` alone, where they are explained.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class PublishedModel:
    """Options of the embedded networks, and of torchvision's and timm's."""

    name: str = MISSING
    weights: str = MISSING
    classes: Any = None
    family: str | None = None


@dataclass
class PythonEntry:
    """Options of a network made by the user's own code."""

    name: str = MISSING
    entry: str = MISSING


@dataclass
class Subset:
    """Which samples of a data set are taken."""

    n: int | None = None
    random: bool = False
    classes: list[Any] | None = None
    ids: str | None = None


@dataclass
class Images:
    """Options of a file, a folder or a list of files."""

    name: str = MISSING
    path: Any = None
    subset: Subset = field(default_factory=Subset)


@dataclass
class Photos:
    """Options of the photographs inside scikit-image."""

    name: str = MISSING
    names: list[str] | None = None
    subset: Subset = field(default_factory=Subset)


@dataclass
class ImageFolder:
    """Options of a folder of class folders."""

    name: str = MISSING
    root: str = MISSING
    subset: Subset = field(default_factory=Subset)


@dataclass
class ImageNet(ImageFolder):
    """Options of ImageNet."""

    labels: str | None = None


@dataclass
class SplitFolder(ImageFolder):
    """Options of a folder with a training and a test part."""

    split: str = MISSING


@dataclass
class TorchvisionData(SplitFolder):
    """Options of torchvision's data sets."""

    download: bool = MISSING
    family: str | None = None


@dataclass
class HuggingFace(ImageFolder):
    """Options of a Hugging Face data set on disk."""

    split: str | None = None
    image: str | None = None
    label: str | None = None
    id: str | None = None


@dataclass
class WebDataset:
    """Options of tar files."""

    name: str = MISSING
    path: Any = MISSING
    label: str | None = None
    cache: str | None = None
    subset: Subset = field(default_factory=Subset)


@dataclass
class Crops:
    """Options of random resized crops of another data set."""

    name: str = MISSING
    n: int = MISSING
    min_area: float = MISSING
    source: Any = None
    subset: Subset = field(default_factory=Subset)


@dataclass
class Regions:
    """What the choices of regions share."""

    name: str = MISSING
    keep: int | None = None


@dataclass
class Slic(Regions):
    """Options of superpixels of similar colour."""

    n_segments: int = MISSING
    compactness: float = MISSING
    sigma: float = MISSING


@dataclass
class Felzenszwalb(Regions):
    """Options of regions without strong edges inside."""

    scale: float = MISSING
    sigma: float = MISSING
    min_size: int = MISSING


@dataclass
class Patches(Regions):
    """Options of square patches."""

    side: int = MISSING


@dataclass
class Masks(Regions):
    """Options of the user's own label images."""

    path: str = MISSING
    names: Any = None
    ignore: int | None = None


@dataclass
class Fixed:
    """One value of lambda1."""

    name: str = MISSING


@dataclass
class Path:
    """A path of values of lambda1."""

    name: str = MISSING
    lambda1s: list[float] | None = None
    n: int = MISSING


@dataclass
class Auto:
    """lambda1 chosen per image by the sparsity of its map."""

    name: str = MISSING
    sparsity: float = MISSING


@dataclass
class Iterative:
    """Options of solvers that make a fixed number of iterations."""

    name: str = MISSING
    n_iter: int = MISSING
    lr: float = MISSING
    init: str = MISSING


@dataclass
class Trainer:
    """Options of Lightning's trainer."""

    accelerator: str = MISSING
    devices: Any = MISSING
    num_nodes: int = MISSING
    precision: str = MISSING


@dataclass
class Wandb:
    """Options of Weights & Biases."""

    name: str = MISSING
    project: str = MISSING
    entity: str | None = None
    mode: str | None = None


@dataclass
class Pictures:
    """How many pictures are drawn, and how."""

    n: int = MISSING
    style: str = MISSING
    overlay: bool = MISSING
    size: int | None = None


@dataclass
class Config:
    """The root keys; the groups' own types are above."""

    model: Any = MISSING
    dataset: Any = MISSING
    order: Any = MISSING
    explainer: Any = MISSING
    metrics: Any = MISSING
    regions: Any = MISSING
    regularization: Any = MISSING
    solver: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    experiment: Any = None
    size: Any = MISSING
    image: Any = None
    target: Any = MISSING
    lambda1: float = MISSING
    lambda2: float = MISSING
    sparsity: float = MISSING
    curvature: str = MISSING
    smooth: bool = MISSING
    n_samples: int = MISSING
    stddev: float = MISSING
    tol: float = MISSING
    n_iter: int = MISSING
    lr: float = MISSING
    init: str = MISSING
    times_input: bool = MISSING
    magnitude: bool = MISSING
    seed: int = MISSING
    batch_size: Any = MISSING
    num_workers: int = MISSING
    pictures: Pictures = field(default_factory=Pictures)
    resume: Any = None


# Groups' schemas sit below "hydra/", so that the help does not list them among the choices.
_SCHEMAS: dict[str, dict[str, type]] = {
    "model": {"published": PublishedModel, "python": PythonEntry},
    "dataset": {
        "photos": Photos,
        "images": Images,
        "imagefolder": ImageFolder,
        "imagenet": ImageNet,
        "split": SplitFolder,
        "torchvision": TorchvisionData,
        "huggingface": HuggingFace,
        "webdataset": WebDataset,
        "crops": Crops,
    },
    "regions": {
        "slic": Slic,
        "felzenszwalb": Felzenszwalb,
        "patches": Patches,
        "channels": Regions,
        "masks": Masks,
    },
    "regularization": {"fixed": Fixed, "path": Path, "auto": Auto},
    "solver": {"iterative": Iterative},
    "trainer": {"lightning": Trainer},
    "logger": {"wandb": Wandb},
}


def register() -> None:
    """Make the types known to Hydra."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for group, schemas in _SCHEMAS.items():
        for name, node in schemas.items():
            store.store(group=f"hydra/schema/{group}", name=name, node=node)
