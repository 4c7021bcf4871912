"""Every mistake is one clear line on stderr, status 2, before any weights load."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ended
from tests.runner.networks import TINY

Cli = Callable[..., Ended]

MISTAKES = [
    (["lamda1=1"], ["lamda1", "lambda1"]),
    (["modle=resnet18"], ["modle", "model"]),
    (["+foo=1"], ["foo", "no such key"]),
    (["+dataset.foo=1"], ["dataset.foo=1", "no such key", "names"]),
    (["+dataset.subset.m=1"], ["dataset.subset.m=1", "no such key"]),
    (["dataset=crops", "+dataset.source.nams=1"], ["dataset.source.nams=1", "did you mean names"]),
    (["+model.foo=1"], ["model.foo=1", "weights"]),
    (["+order.foo=1"], ["order.foo=1", "no such key"]),
    (["+explainer.foo=1"], ["explainer.foo=1", "no such key"]),
    (["explainer=occlusion", "+explainer.strid=1"], ["explainer.strid=1", "did you mean stride"]),
    (["+metrics.gin=1"], ["metrics.gin=1", "did you mean gini"]),
    (["+regularization.foo=1"], ["regularization.foo=1", "no such key"]),
    (["+solver.foo=1"], ["solver.foo=1", "no such key"]),
    (["+trainer.foo=1"], ["trainer.foo=1", "devices"]),
    (["+logger.foo=1"], ["logger.foo=1", "no such key"]),
    (["dataset.nam=[coffee]"], ["dataset.nam", "dataset.names"]),
    (["dataset.n=3"], ["dataset.n", "no such key"]),
    (["lambda1=abc"], ["lambda1=abc", "a number"]),
    (["lambda1=null"], ["lambda1", "null"]),
    (["n_samples=1.5"], ["n_samples=1.5", "a whole number"]),
    (["smooth=maybe"], ["smooth=maybe", "true or false"]),
    (["dataset=crops", "dataset.n=abc"], ["dataset.n=abc", "a whole number"]),
    (["lambda1=-1"], ["lambda1=-1", "at least 0"]),
    (["lambda1=nan"], ["lambda1=nan", "finite"]),
    (["lambda1=inf"], ["lambda1=inf", "finite"]),
    (["lambda2=0"], ["lambda2=0", "greater than 0"]),
    (["sparsity=1.5"], ["sparsity=1.5", "at most 1"]),
    (["n_samples=0"], ["n_samples=0", "at least 1"]),
    (["stddev=-0.1"], ["stddev=-0.1", "at least 0"]),
    (["tol=0"], ["tol=0", "greater than 0"]),
    (["n_iter=0"], ["n_iter=0", "at least 1"]),
    (["lr=0"], ["lr=0", "greater than 0"]),
    (["tol=2"], ["tol=2", "less than 1"]),
    (["seed=-1"], ["seed=-1", "at least 0"]),
    (["init=one"], ["init=one", "zero or random"]),
    (["batch_size=0"], ["batch_size=0", "auto"]),
    (["batch_size=many"], ["batch_size=many", "auto"]),
    (["num_workers=-1"], ["num_workers=-1", "at least 0"]),
    (["curvature=exact"], ["curvature=exact", "auto, gauss_newton, double_backward or closed_form"]),
    (["order=third"], ["order=third", "first or second"]),
    (["model=resnet51"], ["model=resnet51", "resnet50"]),
    (["solver=newton"], ["solver=newton", "krylov"]),
    (["trainer.precision=16"], ["trainer.precision=16", "32-true or 64-true"]),
    (["order=first", "solver=krylov"], ["solver=krylov", "order=first", "closed_form"]),
    (["order=second", "solver=closed_form"], ["solver=closed_form", "lambda1=0"]),
    (["order=second", "regularization=path", "solver=adam"], ["solver=adam", "auto or krylov"]),
    (["regularization=path", "regularization.n=1"], ["regularization.n=1", "at least 2"]),
    (["regularization=path", "regularization.lambda1s=[]"], ["regularization.lambda1s=[]", "list"]),
    (["regularization=path", "regularization.lambda1s=[1,-1]"], ["regularization.lambda1s=[1.0,-1.0]", "at least 0"]),
    (["lambda1=1,2"], ["lambda1=1,2", "-m"]),
    (["order=2"], ["order=2: choose first or second"]),
    (["order=null"], ["order=null: choose first or second"]),
    (["order.name=third"], ["order.name=third", "first or second"]),
    (["regularization.name=foo"], ["regularization.name=foo", "fixed, path or auto"]),
    (["regularization=[path,auto]"], ["regularization=[path,auto]: choose auto, fixed or path"]),
    (["regularization=path", "regularization.lambda1s=1e-3"], ["regularization.lambda1s=1e-3", "a list"]),
    (["metrics=[insertion]"], ["metrics=[insertion]: choose all,", "metrics=all 'metrics.names=[gini,insertion]'"]),
    (["metrics=insertion"], ["metrics=insertion: choose all,", "metrics=all 'metrics.names=[gini,insertion]'"]),
    (["metrics=all", "metrics.names=insertion"], ["metrics.names=insertion", "must be a list"]),
    (["metrics=all", "metrics.names=null"], ["metrics.names=null", "must be a list"]),
    (["metrics=all", "metrics.names=[gini,gini]"], ["metrics.names=gini", "named twice"]),
    (["metrics=all", "metrics.insertion=3"], ["metrics.insertion=3", "metrics.insertion.steps=56"]),
    (["metrics=all", "metrics.insertion.steps=abc"], ["metrics.insertion", "steps='abc'", "a whole number"]),
    (["~lambda1"], ["~lambda1: nothing can be deleted"]),
    (["+lambda1=1"], ["+lambda1: the configuration has this key; write it without +"]),
    (["+order=second"], ["+order: the configuration has this key; write it without +"]),
    (["hydra.foo=1"], ["hydra.foo: no such key; did you mean hydra.job"]),
    (["experiment.images=1"], ["experiment.images: no such key without its experiment"]),
    (["experiment=hesian_impact"], ["experiment=hesian_impact", "did you mean hessian_impact?"]),
    (["model=ResNet50"], ["model=ResNet50", "did you mean resnet50"]),
    (["--lambda1=1"], ["--lambda1=1: no such flag; write it without dashes: lambda1=1"]),
    (["--foo"], ["--foo: no such flag; --help"]),
    (["smooth"], ["smooth: must be KEY=VALUE"]),
    (["image="], ["image=", "a file, a folder"]),
    (["resume="], ["resume=", "directory"]),
    (["image=a b(1).jpg"], ["a b(1).jpg", "quote"]),
    (["lambda1"], ["lambda1"]),
    (["image=nope.jpg"], ["image=nope.jpg", "no such file"]),
    (["image=[nope.jpg]"], ["image=nope.jpg", "no such file"]),
    (["dataset=images"], ["image=null", "a file, a folder"]),
    (["dataset=imagefolder"], ["dataset.root", "must be given"]),
    (["dataset=imagefolder", "dataset.root=nope"], ["dataset.root=nope", "no such folder"]),
    (["dataset=imagefolder", "dataset.root=/nope"], ["dataset.root=/nope: no such folder"]),
    (["image=~/nope.jpg"], ["home/nope.jpg: no such file or folder"]),
    (["model.weights=~/nope.pth"], ["home/nope.pth: no such file"]),
    (["dataset.names=[cofee]"], ["dataset.names=cofee", "coffee"]),
    (["target=espreso"], ["target=espreso", "espresso"]),
    (["target=1000"], ["target=1000", "0 to 999"]),
    (["target=-1"], ["target=-1", "0 to 999"]),
    (["target=true"], ["target=true", "class name"]),
    (["target=tigercat"], ["target=tigercat", "tiger cat"]),
    (["model.weights=nope.pth"], ["model.weights=nope.pth", "no such file"]),
    (["model=python"], ["model.entry", "must be given"]),
    (["model=python", "model.entry=nope"], ["model.entry=nope", "package.module:function"]),
    (["model=python", "model.entry=nope:f"], ["model.entry=nope:f", "cannot be imported"]),
    (["model=python", "model.entry=tests.runner.networks:nope"], ["has no function nope"]),
    (["model=python", "model.entry=tests.runner.networks:broken"], ["OSError: no such checkpoint"]),
    (["model=python", "model.entry=tests.runner.networks:not_a_tuple"], ["a tuple"]),
    (["model=python", "model.entry=tests.runner.networks:not_a_module"], ["torch.nn.Module"]),
    ([*TINY, "target=lion"], ["target=lion", "no class"]),
    ([*TINY, "target=4"], ["target=4", "0 to 3"]),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), MISTAKES, ids=lambda value: " ".join(value))
def test_a_mistake_is_one_clear_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: list[str]
) -> None:
    monkeypatch.setattr("torch.load", lambda *a, **k: pytest.fail("weights were loaded"))
    monkeypatch.setenv("HOME", str(Path("home").absolute()))
    ended = cli(*arguments)
    lines = [line for line in ended.err.splitlines() if not line.startswith("model.entry: imported")]
    lines = [line for line in lines if ": 11 images, " not in line]
    assert ended.code == 2
    assert len(lines) == 1
    for words in said:
        assert words in lines[0]
    assert "Traceback" not in ended.out + ended.err
    assert ended.out == ""


@pytest.mark.parametrize("trainer", ["cpu", pytest.param("ddp_cpu", marks=pytest.mark.slow)])
def test_what_is_imported_is_told_once(cli: Cli, trainer: str) -> None:
    ended = cli(*TINY, "dataset.names=[moon,coffee]", "batch_size=1", f"trainer={trainer}")
    assert ended.code == 0, ended.err
    assert ended.err.count("model.entry: imported tests.runner.networks from ") == 1


def test_no_gpu_is_a_clear_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    ended = cli("trainer=gpu")
    assert (ended.code, ended.err) == (2, "trainer.accelerator=gpu: no CUDA device is present; use trainer=cpu\n")


def test_an_empty_folder_is_a_clear_line(cli: Cli) -> None:
    Path("none").mkdir()
    Path("none/readme.txt").write_text("no image")
    ended = cli("image=none")
    assert ended.code == 2
    assert "image=none: the folder holds no image" in ended.err


def test_the_full_error_on_request(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from caso.runner.cli.messages import ConfigError

    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ConfigError, match="lambda1=-1"):
        cli("lambda1=-1")
