"""The types of the configuration's keys, known to Hydra before any file is read.

They turn a misspelt key and a value of the wrong type into an error while the configuration is composed. Ranges, which
annotations state, are checked afterwards by :mod:`caso.runner.cli.ranges`. The options of models, data sets and ways to
find regions stand beside what reads them. Defaults live in ``conf/`` alone, where they are explained.
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from caso.arguments import Allowed, Count, CountOrZero
from caso.runner.cli.ranges import AboveZero, AtLeastZero, Share, one_of
from caso.runner.data import DATASETS
from caso.runner.models import MODELS
from caso.runner.regions import REGIONS
from caso.runner.results.loggers import LOGGERS

Lambda1s = Annotated[
    list[float] | None,
    Allowed(
        "a list of finite numbers of at least 0",
        lambda values: values is None or (len(values) > 0 and all(0 <= value < math.inf for value in values)),
    ),
]
Several = Annotated[int, Allowed("at least 2", lambda value: value >= 2)]
Start = Annotated[str, one_of("zero", "random")]
Precision = Annotated[str, one_of("32-true", "64-true")]
Seed = Annotated[int, Allowed(f"at least 0 and at most {2**32 - 1}", lambda value: 0 <= value < 2**32)]
Tolerance = Annotated[float, Allowed("finite, greater than 0 and less than 1", lambda value: 0 < value < 1)]
Style = Annotated[str, one_of("auto", "signed", "magnitude", "grey")]
Side = Annotated[
    int | None, Allowed("at least 1 and at most 4096, or null", lambda value: value is None or 1 <= value <= 4096)
]
BatchSize = Annotated[
    Any,
    Allowed(
        "auto or a whole number of at least 1",
        lambda value: value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1),
    ),
]


@dataclass
class Fixed:
    """One value of lambda1."""

    name: str = MISSING


@dataclass
class Path:
    """A path of values of lambda1."""

    name: str = MISSING
    lambda1s: Lambda1s = None
    n: Several = MISSING


@dataclass
class Auto:
    """lambda1 chosen per image by the sparsity of its map."""

    name: str = MISSING
    sparsity: Share = MISSING


@dataclass
class Iterative:
    """Options of solvers that make a fixed number of iterations."""

    name: str = MISSING
    n_iter: Count = MISSING
    lr: AboveZero = MISSING
    init: Start = MISSING


@dataclass
class Trainer:
    """Options of Lightning's trainer."""

    accelerator: str = MISSING
    devices: Any = MISSING
    num_nodes: Count = MISSING
    precision: Precision = MISSING


@dataclass
class Pictures:
    """How many pictures are drawn, and how."""

    n: CountOrZero = MISSING
    style: Style = MISSING
    overlay: bool = MISSING
    size: Side = None


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
    logger: Any = field(default_factory=dict)
    experiment: Any = None
    size: Any = MISSING
    image: Any = None
    target: Any = MISSING
    lambda1: AtLeastZero = MISSING
    lambda2: AboveZero = MISSING
    sparsity: Share = MISSING
    curvature: str = MISSING
    smooth: bool = MISSING
    n_samples: Count = MISSING
    stddev: AtLeastZero = MISSING
    tol: Tolerance = MISSING
    n_iter: Count = MISSING
    lr: AboveZero = MISSING
    init: Start = MISSING
    times_input: bool = MISSING
    magnitude: bool = MISSING
    seed: Seed = MISSING
    batch_size: BatchSize = MISSING
    num_workers: CountOrZero = MISSING
    pictures: Pictures = field(default_factory=Pictures)
    resume: Any = None


# Groups' schemas sit below "hydra/", so that the help does not list them among the choices.
_SCHEMAS: dict[str, dict[str, type]] = {
    **{
        group: {name: component.options for name, component in components.items()}
        for group, components in (("model", MODELS), ("dataset", DATASETS), ("regions", REGIONS))
    },
    "regularization": {"fixed": Fixed, "path": Path, "auto": Auto},
    "solver": {"iterative": Iterative},
    "trainer": {"lightning": Trainer},
}


def register() -> None:
    """Make the types known to Hydra."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for group, schemas in {**_SCHEMAS, "logger": LOGGERS}.items():
        for name, node in schemas.items():
            store.store(group=f"hydra/schema/{group}", name=name, node=node)
