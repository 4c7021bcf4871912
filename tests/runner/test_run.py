"""Whole runs of a tiny network: what they leave, under every option."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

import caso
from caso.runner import Run, load_run
from caso.runner.data import PHOTOS, find_samples
from caso.runner.results.record import COLUMNS
from tests.conftest import Ended
from tests.runner import networks
from tests.runner.networks import NAMES, TINY

Cli = Callable[..., Ended]
SOME = "dataset.names=[coffee,moon,retina]"


def done(cli: Cli, *arguments: str) -> Run:
    ended = cli(*TINY, *arguments)
    assert ended.code == 0, ended.err
    return load_run(ended.directory)


def pixels(*names: str) -> torch.Tensor:
    samples = find_samples(OmegaConf.create({"name": "photos", "names": list(names)}), 0)
    return torch.stack([networks.preprocess(sample.read()) for sample in samples])


def test_what_a_run_leaves(cli: Cli) -> None:
    ended = cli(*TINY, "order=second")
    assert ended.code == 0
    for words in (
        "image",
        "predicted",
        "confidence",
        "sparsity",
        "largest eigenvalue",
        "residual",
        "seconds",
        "coffee",
    ):
        assert words in ended.out
    assert "imported tests.runner.networks from" in ended.err
    run = load_run(ended.directory)
    assert list(run.table.columns) == list(COLUMNS)
    assert run.table["image"].tolist() == list(run.maps) == list(PHOTOS)
    assert set(run.table["predicted_name"]) <= set(NAMES)
    assert (run.table["target"] == run.table["predicted"]).all()
    assert (run.table["order"] == "second").all()
    assert (run.table["solver"] == "krylov").all()
    assert (run.table["curvature"] != "auto").all()
    assert run.table["confidence"].between(0.25, 1).all()
    assert (run.table["hvps"] > 0).all()
    assert (run.table["lambda2_effective"] >= 4).all()
    assert run.table["status"].isin(["converged", "floor"]).all()
    assert run.config.lambda1 == 1e-4
    assert run.summary["status"] == "finished"
    environment = json.loads((run.directory / "environment.json").read_text())
    assert environment["seed"] == 0
    assert environment["versions"]["torch"] == torch.__version__.split("+")[0]
    assert (run.directory / ".hydra" / "config.yaml").is_file()
    assert (run.directory / "contact_sheet.png").is_file()
    for picture in run.table["picture"]:
        with Image.open(run.directory / picture) as opened:
            opened.verify()


@pytest.mark.parametrize("order", ["first", "second"])
def test_maps_are_the_librarys(cli: Cli, order: str) -> None:
    run = done(cli, SOME, f"order={order}", "lambda1=1e-3", "lambda2=10", "target=tiger_cat")
    explainer = {"first": caso.CAFO, "second": caso.CASO}[order](networks.network(), lambda1=1e-3, lambda2=10)
    expected = explainer.explain(pixels("coffee", "moon", "retina"), target=1)
    np.testing.assert_allclose(np.stack(list(run.maps.values())), expected.maps, rtol=1e-4, atol=1e-7)
    assert run.maps["coffee"].dtype == np.float32
    assert run.table["target_name"].tolist() == ["Tiger Cat"] * 3
    np.testing.assert_allclose(run.table["sparsity"], expected.sparsity, atol=5e-3)
    np.testing.assert_allclose(run.table["lambda_max"], expected.lambda_max, rtol=1e-3)


def test_results_do_not_depend_on_batch_size(cli: Cli) -> None:
    one, four = (done(cli, SOME, "order=second", f"batch_size={size}") for size in (1, 4))
    for name in one.maps:
        scale = np.abs(one.maps[name]).max()
        np.testing.assert_allclose(one.maps[name], four.maps[name], rtol=0, atol=1e-5 * scale)


def test_a_path_has_a_row_and_a_map_for_each_lambda1(cli: Cli) -> None:
    run = done(cli, SOME, "order=second", "regularization=path", "regularization.n=8")
    assert len(run.table) == 3 * 8
    assert run.maps["moon"].shape == (8, 3, 10, 12)
    rows = run.table[run.table["image"] == "moon"]
    for attribution, sparsity in zip(run.maps["moon"], rows["sparsity"], strict=True):
        assert (attribution == 0).mean() == pytest.approx(sparsity)
    assert rows["picture"].nunique() == 1


def test_a_path_of_given_values(cli: Cli) -> None:
    run = done(cli, SOME, "regularization=path", "regularization.lambda1s=[1e-2,1e-3]")
    assert sorted(set(run.table["lambda1"])) == pytest.approx([1e-3, 1e-2])


def test_lambda1_chosen_by_sparsity(cli: Cli) -> None:
    run = done(cli, SOME, "order=second", "regularization=auto", "sparsity=0.8")
    assert run.table["sparsity"].to_numpy() == pytest.approx(0.8, abs=0.02)
    assert run.table["lambda1"].nunique() == 3


@pytest.mark.parametrize("solver", ["proximal", "sgd", "adam", "lbfgs"])
def test_the_released_solvers(cli: Cli, solver: str) -> None:
    run = done(cli, SOME, "order=second", f"solver={solver}", "n_iter=3", "lr=0.01", "init=random")
    assert (run.table["solver"] == solver).all()
    assert run.table["status"].isin(["converged", "floor", "stopped"]).all()


@pytest.mark.parametrize("curvature", ["gauss_newton", "double_backward", "closed_form"])
def test_the_curvatures(cli: Cli, curvature: str) -> None:
    run = done(cli, SOME, "order=second", f"curvature={curvature}")
    assert run.table["curvature"].str.contains(curvature).all()


def test_closed_form_of_second_order_without_lambda1(cli: Cli) -> None:
    exact = done(cli, SOME, "order=second", "lambda1=0", "solver=closed_form")
    krylov = done(cli, SOME, "order=second", "lambda1=0", "tol=1e-5")
    for name in exact.maps:
        np.testing.assert_allclose(exact.maps[name], krylov.maps[name], rtol=1e-2, atol=1e-5)


def test_smooth_maps_depend_on_the_seed_alone(cli: Cli) -> None:
    arguments = (SOME, "smooth=true", "n_samples=4", "stddev=0.3")
    first, again, other = (done(cli, *arguments, f"seed={seed}") for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.maps["moon"], again.maps["moon"])
    assert not np.array_equal(first.maps["moon"], other.maps["moon"])


def test_times_input_and_magnitude(cli: Cli) -> None:
    plain, times, magnitude = (done(cli, SOME, *a) for a in ((), ("times_input=true",), ("magnitude=true",)))
    image = pixels("coffee")[0].numpy()
    np.testing.assert_allclose(times.maps["coffee"], plain.maps["coffee"] * image, rtol=1e-5)
    squares = plain.maps["coffee"].astype(float) ** 2
    np.testing.assert_allclose(magnitude.maps["coffee"], squares / squares.sum(), rtol=1e-4, atol=1e-9)


def test_double_precision(cli: Cli) -> None:
    run = done(cli, SOME, "order=second", "trainer.precision=64-true", "tol=1e-8")
    assert run.maps["moon"].dtype == np.float64
    assert (run.table["kkt_residual"] <= 1e-8).all()


def test_a_map_of_zeros_is_drawn(cli: Cli) -> None:
    run = done(cli, SOME, "lambda1=1e9")
    assert (run.table["sparsity"] == 1).all()
    assert (run.maps["moon"] == 0).all()
    assert (run.directory / run.table["picture"][0]).is_file()


def test_images_of_unequal_sizes(cli: Cli) -> None:
    for number, size in enumerate([(20, 12), (9, 14), (20, 12)]):
        Image.new("RGB", size, (50 * number, 99, 0)).save(f"{number}.png")
    ended = cli("model=python", "model.entry=tests.runner.networks:own_size", "image=.", "order=second")
    assert ended.code == 0, ended.err
    shapes = [attribution.shape for attribution in dict(sorted(load_run(ended.directory).maps.items())).values()]
    assert shapes == [(3, 12, 20), (3, 14, 9), (3, 12, 20)]


@pytest.mark.parametrize("entry", ["unnamed", "grey"])
def test_other_networks(cli: Cli, entry: str) -> None:
    ended = cli("model=python", f"model.entry=tests.runner.networks:{entry}", SOME, "order=second", "batch_size=2")
    assert ended.code == 0, ended.err
    run = load_run(ended.directory)
    assert len(run.maps) == 3
    if entry == "unnamed":
        assert run.table["predicted_name"].str.fullmatch(r"class [0-3]").all()
    assert {attribution.shape[0] for attribution in run.maps.values()} == {1 if entry == "grey" else 3}


def test_a_network_in_the_current_directory(cli: Cli) -> None:
    Path("my_own_network.py").write_text("from tests.runner.networks import tiny as make\n")
    ended = cli("model=python", "model.entry=my_own_network:make", SOME)
    assert ended.code == 0
    assert str(Path("my_own_network.py").resolve()) in ended.err


def test_normalisation_in_the_preprocessing_is_told(cli: Cli) -> None:
    ended = cli("model=python", "model.entry=tests.runner.networks:normalised", SOME)
    assert ended.err.count("put the normalisation into the network") == 1


@pytest.mark.parametrize(("entry", "status"), [("nan_for_dark", "not_finite"), ("raise_for_dark", "error")])
def test_an_image_that_fails_costs_itself_alone(cli: Cli, entry: str, status: str) -> None:
    Image.new("RGB", (20, 20), "white").save("a.png")
    Image.new("RGB", (20, 20), "black").save("b.png")
    Image.new("RGB", (20, 20), "red").save("c.png")
    ended = cli("model=python", f"model.entry=tests.runner.networks:{entry}", "image=.", "order=second")
    assert ended.code == 1
    assert "1 of 3 images have no map" in ended.out
    run = load_run(ended.directory)
    rows = run.table.set_index("image")
    assert rows.loc["b.png", "status"] == status
    assert set(run.maps) == {"a.png", "c.png"}
    if status == "error":
        assert rows.loc["b.png", "message"] == "too dark to see"
    assert "Traceback" not in ended.out + ended.err
    good = done(cli, "image=[a.png,c.png]", "order=second")
    for name in good.maps:
        np.testing.assert_allclose(run.maps[name], good.maps[name], rtol=1e-4, atol=1e-7)


def test_bad_files_are_rows_and_the_rest_goes_on(cli: Cli) -> None:
    folder = Path("größe 写真")
    folder.mkdir()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    picture.save(folder / "a good one.png")
    picture.save(folder / "short.jpg")
    (folder / "short.jpg").write_bytes((folder / "short.jpg").read_bytes()[:1500])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("hello")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "phone.xmp").write_text("no image")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.rotate(90, expand=True).save(folder / "turned.png", exif=exif)
    ended = cli(*TINY, f"image='{folder}'", "order=second")
    assert ended.code == 1
    run = load_run(ended.directory)
    rows = run.table.set_index("image")
    assert sorted(rows.index) == ["a good one.png", "empty.jpg", "phone.heic", "short.jpg", "text.jpg", "turned.png"]
    assert set(run.maps) == {"a good one.png", "turned.png"}
    np.testing.assert_array_equal(run.maps["turned.png"], run.maps["a good one.png"])
    for name, reason in (
        ("empty.jpg", "empty"),
        ("text.jpg", "not an image"),
        ("short.jpg", "truncated"),
        ("phone.heic", "not read"),
    ):
        assert rows.loc[name, "status"] == "unreadable"
        assert reason in rows.loc[name, "message"]
        assert f"{name}: unreadable" in ended.out
    assert math.isnan(rows.loc["empty.jpg", "confidence"])


def test_crops_of_given_images(cli: Cli) -> None:
    Image.new("RGB", (60, 40), "green").save("a.png")
    run = done(cli, "dataset=crops", "dataset.n=5", "image=a.png", "num_workers=1")
    assert run.table["image"].tolist() == [f"a.png#{number}" for number in range(5)]


def test_runs_at_the_same_time_have_their_own_directories(cli: Cli) -> None:
    assert len({cli(*TINY, "dataset.names=[moon]").directory for _ in range(3)}) == 3


def test_a_failure_of_the_program_is_one_line_and_a_traceback_in_the_log(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("caso.runner.results.segments.SegmentWriter.commit", fail)
    ended = cli(*TINY, SOME, "hydra.run.dir=here")
    assert ended.code == 1
    assert "No space left on device" in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err
    assert "Traceback" in Path("here/caso.log").read_text()
    assert json.loads(Path("here/summary.json").read_text())["status"] == "failed"


def test_ctrl_c_keeps_what_was_explained(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from caso.runner.results.segments import SegmentWriter

    commit = SegmentWriter.commit

    def interrupted(self: SegmentWriter, batch: int, rows: list) -> None:
        if batch == 2:
            raise KeyboardInterrupt
        commit(self, batch, rows)

    monkeypatch.setattr("caso.runner.results.segments.SegmentWriter.commit", interrupted)
    monkeypatch.setattr("signal.signal", lambda *a: None)  # Lightning ignores further Ctrl-C for good
    ended = cli(*TINY, SOME, "batch_size=1", "hydra.run.dir=here")
    assert ended.code == 130
    assert "interrupted" in ended.err
    assert list(load_run("here").maps) == ["coffee", "moon"]


def test_memory_that_runs_out_halves_the_batch() -> None:
    from caso.runner.execution.quarantine import isolate_failures

    seen = []

    def solve(first: int, batch: torch.Tensor) -> torch.Tensor:
        assert batch[0] == first
        seen.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return batch + 1

    batch = torch.arange(7.0)
    parts = isolate_failures(solve, batch)
    assert [first for first, _, _ in parts] == [0, 1, 3, 5]
    torch.testing.assert_close(torch.cat([result for _, _, result in parts]), batch + 1)
    assert seen[0] == 7


def test_a_pattern_and_a_folder_with_those_below_it_on_the_command_line(cli: Cli) -> None:
    for name in ("one.png", "sub/two.png"):
        Path("set", name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20)).save(Path("set", name))
    for arguments in (["image=set/**/*.png"], ["dataset=images", "image=set", "dataset.recursive=true"]):
        ended = cli(*TINY, *arguments)
        assert ended.code == 0, ended.err
        assert load_run(ended.directory).table["image"].tolist() == ["one.png", "sub/two.png"]
    ended = cli(*TINY, "image=set/*.jpg")
    assert (ended.code, ended.err.splitlines()[-1]) == (2, "image=set/*.jpg: no image matches")
