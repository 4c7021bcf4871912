"""What holds for every metric."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor

from caso.memory import Chunks
from caso.metrics import FAMILIES, METRICS, Case, Metric, make_metric
from caso.regions import patches
from tests import networks
from tests.conftest import ROOT
from tests.metrics import cases
from tests.metrics.cases import gradients

SMALL = {"steps": 6, "samples": 3, "fractions": (0.3, 0.6), "stages": 2, "region": 2, "attacked": 9, "k": 7}


def small(name: str) -> Metric:
    """A cheap one of that name."""
    known = METRICS[name].__dataclass_fields__
    return make_metric(name, **{key: value for key, value in SMALL.items() if key in known})


def of(given: Case, rows: slice, network: nn.Module | None = None) -> Case:
    return Case(
        network or given.network, given.images[rows], given.maps[rows], given.targets[rows], given.explain, gradients,
        None if given.regions is None else given.regions[rows],
    )  # fmt: skip


_by_region = False
"""Whether the metric under test needs regions."""


@pytest.fixture(params=METRICS)
def metric(request: pytest.FixtureRequest) -> Iterator[Metric]:
    global _by_region
    found = small(request.param)
    _by_region = "regions" in found.needs
    yield found
    _by_region = False


def case(*shape: int, seed: int = 0) -> Case:
    """A case, with 2 x 2 patches as regions where the metric under test needs some."""
    made = cases.case(*shape, seed=seed)
    if _by_region:
        made.regions = patches(2)(made.images).expand(shape[0], *shape[2:])
    return made


def test_every_metric_has_one_family() -> None:
    assert sorted(name for names in FAMILIES.values() for name in names) == sorted(METRICS)
    assert all(METRICS[name].family == family for family, names in FAMILIES.items() for name in names)


def test_a_definition_is_enough_to_make_the_metric_again(metric: Metric) -> None:
    definition = json.loads(json.dumps(metric.definition, allow_nan=False))
    again = make_metric(definition["name"], **definition["parameters"])
    assert again == metric
    assert again.definition == metric.definition
    assert definition["sentence"].endswith(".")
    assert definition["source"]


def test_metrics_are_frozen(metric: Metric) -> None:
    with pytest.raises(FrozenInstanceError):
        metric.steps = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("shape", [(3, 3, 6, 5), (2, 1, 6, 5)], ids=["colour", "grey"])
def test_scores_are_in_range_and_repeat(metric: Metric, shape: tuple[int, ...]) -> None:
    first, second = (metric.score(case(*shape)) for _ in range(2))
    assert first.values.dtype == torch.float64
    assert first.values.shape == shape[:1]
    low, high = metric.range
    assert bool((first.values >= (-math.inf if low is None else low)).all())
    assert bool((first.values <= (math.inf if high is None else high)).all())
    assert torch.equal(first.values, second.values)
    assert bool(metric.axes) == (first.curve is not None)
    if first.curve is not None:
        assert first.x is not None
        assert first.curve.shape == (shape[0], len(first.x))


def test_scores_depend_neither_on_neighbours_nor_on_chunks(metric: Metric) -> None:
    together = metric.score(case(3, 3, 6, 5)).values
    given = case(3, 3, 6, 5)
    alone = torch.cat([metric.score(of(given, slice(i, i + 1))).values for i in range(3)])
    torch.testing.assert_close(alone, together, rtol=1e-9, atol=1e-12)
    given.chunks.size = 2
    # Imputation stops when all images of a chunk have converged, to a tolerance far below its noise.
    close = 1e-4 if metric.name.startswith("road") else 1e-12
    torch.testing.assert_close(metric.score(given).values, together, rtol=1e-9, atol=close)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_constant_maps_have_scores(metric: Metric, value: float) -> None:
    given = case(2, 3, 6, 5)
    given.maps = torch.full_like(given.maps, value)
    assert bool(torch.isfinite(metric.score(given).values).all())


def test_tiny_images_have_scores(metric: Metric) -> None:
    for shape in ((2, 1, 1, 1), (2, 3, 1, 2), (1, 3, 2, 1)):
        assert bool(torch.isfinite(metric.score(case(*shape)).values).all())


def test_what_is_not_finite_has_no_score(metric: Metric) -> None:
    given = case(3, 3, 6, 5)
    expected = metric.score(case(3, 3, 6, 5)).values
    given.maps[1, 0, 2, 3] = torch.nan
    found = metric.score(given)
    assert found.values.isnan().tolist() == [False, True, False]
    torch.testing.assert_close(found.values[[0, 2]], expected[[0, 2]])
    if found.curve is not None:
        assert bool(found.curve[1].isnan().all())


def test_a_network_that_breaks_down_gives_no_score() -> None:
    given = case(2, 3, 6, 5)
    given.images[1] += 0.6 - given.images[1].mean()
    given.images[0] *= 0.1
    broken = of(given, slice(0, 2), networks.Broken(given.network))  # type: ignore[arg-type]
    for name in ("deletion", "pixel_flipping", "aopc", "infidelity"):
        metric = make_metric(name, **({"substrate": "black"} if name != "infidelity" else {"stddev": 0.01}))
        assert metric.score(broken).values.isnan().tolist() == [False, True]


class Tally:
    """A number that copies of its owner may share."""

    def __init__(self, shared: bool) -> None:
        self.count, self.shared = 0, shared

    def __deepcopy__(self, memo: object) -> "Tally":
        return self if self.shared else Tally(False)


class Counting(nn.Module):
    """Counts the images that it (and its copies) see, and refuses too many at once as a full device would."""

    def __init__(self, inner: nn.Module, most: int = 10**6, copies: bool = False) -> None:
        super().__init__()
        self.inner, self.most, self.tally = inner, most, Tally(copies)

    @property
    def seen(self) -> int:
        return self.tally.count

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(x, FakeTensor):
            raise TypeError("must see real images")
        if len(x) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        self.tally.count += len(x)
        return self.inner(x)


def test_passes_are_what_is_said(metric: Metric) -> None:
    given = case(2, 3, 6, 5)
    curvature = metric.family in ("curvature", "reach")
    counting = Counting(given.network, copies=curvature)  # type: ignore[arg-type]
    metric.score(of(given, slice(0, 2), counting))
    if curvature:
        first = counting.seen  # with what is found out about a network once
        metric.score(of(given, slice(0, 2), counting))
        assert counting.seen - first == 2 * (metric.passes + 3 * metric.name.startswith("restricted"))  # of four copies
        return
    if metric.needs == ("regions",):
        assert counting.seen == 2 * (1 + 9)  # patches
        return
    # The pass over the untouched image is not needed where the explained class is followed and nothing compared.
    spared = metric.name == "pixel_flipping"
    assert counting.seen == 2 * (metric.passes - spared)


def test_explanations_are_what_is_said(metric: Metric) -> None:
    given, calls = case(2, 3, 6, 5), []

    def explain(images: Tensor, targets: Tensor) -> Tensor:
        calls.append(len(images))
        return given.maps

    counted = Case(
        given.network, given.images, given.maps, given.targets, explain, lambda network: explain, given.regions
    )
    metric.score(counted)
    assert sum(calls) == 2 * metric.explanations


def test_a_metric_that_needs_regions_alone_makes_no_further_maps() -> None:
    assert make_metric("valid_radius", direction="regions").definition["explanations"] == 0
    assert make_metric("irof").definition["explanations"] == 0
    assert make_metric("max_sensitivity").definition["explanations"] > 0


def test_chunks_shrink_where_memory_runs_out(metric: Metric) -> None:
    given = case(3, 3, 6, 5)
    expected = metric.score(given).values
    cramped = of(given, slice(0, 3), Counting(given.network, most=2))  # type: ignore[arg-type]
    cramped.explain_with = lambda network: gradients(network.inner)  # type: ignore
    torch.testing.assert_close(metric.score(cramped).values, expected, rtol=1e-9, atol=1e-4)


def test_images_of_inference_mode_are_fine(metric: Metric) -> None:
    expected = metric.score(case(2, 3, 6, 5)).values
    given = case(2, 3, 6, 5)
    with torch.inference_mode():
        inferred = Case(
            given.network, given.images.clone(), given.maps.clone(), given.targets.clone(), given.explain, gradients,
            given.regions,
        )  # fmt: skip
        if metric.needs:
            inferred.explain = lambda images, targets: _outside(given.explain, images, targets)
            inferred.explain_with = lambda network: (
                lambda images, targets: _outside(
                    gradients(network),
                    images,
                    targets,  # type: ignore[arg-type]
                )
            )
        found = metric.score(inferred).values
    torch.testing.assert_close(found.clone(), expected)


def _outside(explain: object, images: Tensor, targets: Tensor) -> Tensor:
    with torch.inference_mode(False):
        return explain(images.clone(), targets.clone())  # type: ignore[operator]


def test_nothing_that_is_given_changes(metric: Metric) -> None:
    given = case(2, 3, 6, 5)
    images, maps = given.images.clone(), given.maps.clone()
    weights = [p.detach().clone() for p in given.network.parameters()]  # type: ignore[attr-defined]
    metric.score(given)
    assert torch.equal(given.images, images)
    assert torch.equal(given.maps, maps)
    assert all(torch.equal(a, b) for a, b in zip(given.network.parameters(), weights, strict=True))  # type: ignore[attr-defined]
    assert all(p.grad is None for p in given.network.parameters())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("fidelity", {}, "metric 'fidelity': must be one of zeros, gini"),
        ("deletion", {"step": 3}, "deletion: has no parameter 'step'; it has steps, substrate, of, seed"),
        ("deletion", {"steps": 0}, "deletion: steps=0: must be at least 1"),
        ("insertion", {"substrate": "white"}, "insertion: substrate='white': must be one of black, mean, blur, noise"),
        ("aopc", {"of": "top"}, "aopc: of='top': must be predicted or target"),
        ("zeros", {"steps": 3}, "zeros: has no parameter 'steps'; it has none"),
    ],
)
def test_mistakes_are_named(name: str, parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        make_metric(name, **parameters)
    assert str(error.value).startswith(message)


def test_what_a_case_lacks_is_named() -> None:
    given = case(1, 3, 6, 5)
    given.explain = given.explain_with = None
    for metric in (make_metric("max_sensitivity"), make_metric("randomised_layers")):
        with pytest.raises(ValueError, match=f"{metric.name}: needs the case's {metric.needs[0]}"):
            metric.score(given)


def test_shapes_that_do_not_fit_are_errors() -> None:
    given = case(2, 3, 6, 5)
    for images, maps, targets in (
        (given.images[0], given.maps[0], given.targets),
        (given.images, given.maps[:, :1], given.targets),
        (given.images, given.maps, given.targets[:1]),
    ):
        with pytest.raises(ValueError, match="of shape"):
            Case(given.network, images, maps, targets)


def test_what_fitted_is_remembered_across_cases() -> None:
    given, chunks = case(3, 3, 6, 5), Chunks(16)
    for _ in range(2):
        network = Counting(given.network, most=4)  # type: ignore[arg-type]
        small("deletion").score(Case(network, given.images, given.maps, given.targets, chunks=chunks))
    assert chunks.size == 4


def test_the_page_states_what_the_metrics_state() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    for family, names in FAMILIES.items():
        text = page.split(f"## {family.capitalize()}\n")[1].split("\n## ")[0]
        rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if "| `" in line]
        assert sorted(row[0].strip("` ") for row in rows) == sorted(names)
        for name, _, better, range_, source in rows:
            metric = METRICS[name.strip("` ")]
            assert better == {True: "higher", False: "lower", None: "neither"}[metric.higher_is_better]
            low, high = metric.range
            assert range_ == (
                f"{low:.0f} upwards"
                if high is None
                else f"up to {high:.0f}"
                if low is None
                else f"{low:.0f} to {high:.0f}"
            )
            cited = re.search(r"arxiv\.org/abs/([\d.]+)", source)
            assert cited is None or cited[1] in metric.source


def test_other_maps_of_the_same_images_share_passes() -> None:
    given = case(2, 3, 6, 5)
    counting = Counting(given.network)  # type: ignore[arg-type]
    first = of(given, slice(0, 2), counting)
    metric = small("insertion")
    metric.score(first)
    once = counting.seen
    second = first.with_maps(given.maps.flip(3))
    found = metric.score(second).values
    assert counting.seen == 2 * once - 2
    expected = metric.score(Case(given.network, given.images, given.maps.flip(3), given.targets)).values
    torch.testing.assert_close(found, expected)
    assert not torch.equal(found, metric.score(first).values)


@pytest.mark.parametrize("name", ["deletion", "road_lerf", "infidelity"])
def test_the_memory_layout_makes_no_difference(name: str) -> None:
    given = case(2, 3, 6, 5)
    layouts = []

    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = given.network
            self.unused = nn.Conv2d(1, 1, 1)  # with three convolutions channels_last pays on the CPU

        def forward(self, x: Tensor) -> Tensor:
            layouts.append(x.is_contiguous(memory_format=torch.channels_last))
            return self.inner(x)

    found = small(name).score(of(given, slice(0, 2), Deep())).values
    torch.testing.assert_close(found, small(name).score(given).values)
    assert layouts
    assert all(layouts)
