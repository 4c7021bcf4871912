"""A network that does not fit is one mistake of the run, said before an image is explained."""

from collections.abc import Callable
from pathlib import Path

import pytest

from caso.runner import load_run
from tests.conftest import Ended

Cli = Callable[..., Ended]
SOME = "dataset.names=[moon,coffee]"

NETWORKS = """
import torch, warnings
from torch import nn
from torch.nn.functional import dropout, pad
from tests.runner import networks

class After(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.inner, self.change = networks.network(), change

    def forward(self, pixels):
        return self.change(self.inner(pixels))

def made(change, names=networks.NAMES):
    return lambda: (After(change), networks.preprocess, names)

two_names = made(lambda z: z, ["cat", "dog"])
five_names = made(lambda z: z, [*networks.NAMES, "dog"])
unnamed = made(lambda z: z, None)
one_name = made(lambda z: z[:, :1], ["dog"])
candidates = made(lambda z: (z, 2 * z))
maps = made(lambda z: z[:, :, None, None].expand(-1, -1, 3, 3))
words = made(lambda z: "dog")
probability = made(lambda z: z[:, :1].sigmoid(), ["cat", "dog"])
random = made(lambda z: dropout(z, 0.5, True))
softmax = made(lambda z: z.softmax(1))
in_tuple = made(lambda z: (None, z))
one = made(lambda z: z[:, :1], ["cat", "dog"])
squeezed = made(lambda z: z[:, 0], ["cat", "dog"])
both = made(lambda z: pad(z[:, :1], (1, 0)), ["cat", "dog"])

def plain():
    return networks.tiny()

def compiled():
    network, preprocess, names = networks.tiny()
    return nn.Sequential(nn.Identity(), torch.compile(network)), preprocess, names

def scripted():
    network, preprocess, names = networks.tiny()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(network), preprocess, names

class First(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = networks.network()

    def forward(self, pixels):
        if (pixels.mean(dim=(1, 2, 3)) > 0.41).any():
            raise RuntimeError("too bright")
        return self.inner(pixels)[:, :1]

def raises_first():
    return First(), networks.preprocess, ["cat", "dog"]
"""


@pytest.fixture
def run(cli: Cli) -> Cli:
    """Explain with one of the networks above."""
    name = "fitting_networks"
    Path(f"{name}.py").write_text(NETWORKS)

    def run(entry: str, *arguments: str) -> Ended:
        return cli("model=python", f"model.entry={name}:{entry}", SOME, *arguments)

    return run


MISTAKES = [
    ("two_names", "it has 2 class names, but the network gives 4 logits"),
    ("five_names", "it has 5 class names, but the network gives 4 logits"),
    ("one_name", "it has 1 class names, but the network gives 1 logit, which makes 2 classes"),
    ("candidates", "it returns a tuple (0: [B, 4], 1: [B, 4]): must be logits [B, K], or hold one tensor [B, K]"),
    ("maps", "its output is [B, 4, 3, 3]: must be logits [B, K]; reduce its maps"),
    ("words", "it returns a str: must be logits [B, K]"),
    ("probability", "its one output is a probability"),
    ("random", "the network gives different outputs for the same image"),
    ("scripted", "RecursiveScriptModule is TorchScript, which cannot be explained"),
]


@pytest.mark.parametrize("explainer", ["caso", "gradient"])
@pytest.mark.parametrize(("entry", "words"), MISTAKES)
def test_a_network_that_does_not_fit_is_one_mistake(run: Cli, entry: str, words: str, explainer: str) -> None:
    ended = run(entry, f"explainer={explainer}", "hydra.run.dir=out")
    assert ended.code == 2, ended.err
    last = ended.err.strip().splitlines()[-1]
    assert last.startswith(f"model.entry=fitting_networks:{entry}: ")
    assert words in last
    assert ended.err.count(words) == 1
    assert not len(load_run("out").table), "no image was explained"


def test_a_class_that_the_network_lacks_is_one_mistake(run: Cli) -> None:
    ended = run("unnamed", "target=4")
    assert ended.code == 2
    assert ended.err.strip().splitlines()[-1] == (
        "target=4: a class index goes from 0 to 3: the network gives 4 logits"
    )


@pytest.mark.slow
def test_it_is_one_mistake_of_several_processes(run: Cli) -> None:
    ended = run("random", "trainer=ddp_cpu", "trainer.devices=2", "batch_size=1")
    assert ended.code == 2
    assert "the network gives different outputs for the same image" in ended.err


@pytest.mark.parametrize(("entry", "same"), [("one", "both"), ("squeezed", "both"), ("in_tuple", "plain"),
                                             ("compiled", "plain")])  # fmt: skip
@pytest.mark.parametrize("explainer", ["caso", "gradcam"])
def test_networks_that_mean_the_same_have_the_same_results(run: Cli, entry: str, same: str, explainer: str) -> None:
    options = (f"explainer={explainer}", "metrics=faithfulness", "target=1", "metrics.names=[deletion,insertion]")
    found, expected = run(entry, *options), run(same, *options)
    assert found.code == expected.code == 0, found.err
    one, other = load_run(found.directory), load_run(expected.directory)
    for name in ("target_name", "predicted_name", "status"):
        assert one.table[name].tolist() == other.table[name].tolist()
    for name in ("confidence", "deletion", "insertion"):
        assert one.table[name].tolist() == pytest.approx(other.table[name].tolist(), rel=1e-5)
    for image in one.maps:
        assert one.maps[image] == pytest.approx(other.maps[image], rel=1e-4, abs=1e-7)
    assert explainer != "caso" or one.table["sparsity"].max() < 1


def test_what_is_explained_is_said_once(run: Cli) -> None:
    ended = run("one", "batch_size=1", "explainer=cafo")
    assert ended.code == 0
    assert ended.err.count("explained as the logits [0, z] of two classes") == 1
    ended = run("softmax", "batch_size=1", "explainer=cafo")
    assert ended.code == 0
    assert ended.err.count("sum to 1, as after a softmax: explain the logits before it") == 1


def test_an_image_that_fails_does_not_hide_what_the_network_returns(run: Cli) -> None:
    ended = run("raises_first", "batch_size=1", "target=1", "explainer=cafo")
    assert ended.code == 1
    table = load_run(ended.directory).table.set_index("image")
    assert sorted(table["status"]) == ["converged", "error"]
    assert table.loc[table["status"] == "converged", "target_name"].tolist() == ["dog"]
