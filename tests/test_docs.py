"""The pages hold what they promise: links, images, commands, keys, columns."""

import itertools
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

import caso
from caso.runner.cli.known import Sources
from caso.runner.cli.schema import register
from caso.runner.cli.validation import check
from caso.runner.results import sweep
from caso.runner.results.record import COLUMNS
from caso.runner.results.segments import SegmentWriter
from caso.solvers import solution
from tests import networks
from tests.conftest import CONF, ROOT

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
RESULTS, INSTALL = ROOT / "docs" / "results.md", ROOT / "docs" / "install.md"
OPTIONS = ROOT / "docs" / "options.md"


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"^    .*$", "", text, flags=re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Links to a page's headings, as the usual viewers make them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def section(page: Path, heading: str) -> str:
    return re.split(r"^#+ ", page.read_text().split(f"## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def options() -> str:
    """What the page says of all options, group by group."""
    return OPTIONS.read_text().split("\n## All of them\n", 1)[1].split("\n## ", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a page's tables whose rows begin with code."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def commands() -> list[str]:
    found = []
    for page in PAGES:
        blocks = re.findall(r"^ *((?:python run\.py|python -m caso|caso) .*)$", page.read_text(), flags=re.MULTILINE)
        found += blocks + re.findall(r"`(python run\.py [^`\n]*)`", page.read_text())
    return sorted({command for command in found if "group=choice" not in command and "--config-dir" not in command})


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_images_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    assert targets or page.name == "CHANGELOG.md"
    for target in targets:
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        if path.startswith("auto_gallery/"):  # a page that the site makes of a script
            path = path.removeprefix("auto_").replace(".rst", ".py").replace("index.py", "GALLERY_HEADER.rst")
        leads_to = (page.parent / path).resolve() if path else page
        assert leads_to.is_file(), target
        assert leads_to.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(leads_to), target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_are_named_exist(page: Path) -> None:
    for path in re.findall(r"`((?:caso|conf|docs|scripts|tests)/[\w./]*)`", page.read_text()):
        assert (ROOT / path).exists() or "NAME" in path, path


def test_every_image_is_shown_and_small() -> None:
    text = "".join(page.read_text() for page in PAGES)
    for image in (ROOT / "docs" / "images").iterdir():
        assert f"images/{image.name}" in text
        assert image.stat().st_size <= 400_000, image.name


def test_the_first_commands_are_targets() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    blocks = re.findall(r"^    (.*)$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert blocks[:2] == ["make demo", "make test"]
    for page in PAGES:
        used = re.findall(r"^    make (\w+)|`make (\w+)`", page.read_text(), flags=re.MULTILINE)
        for target in (first or second for first, second in used):
            assert target in targets
    assert "run.py order=second regions=slic regularization=auto regions.keep=10" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("command", commands())
def test_every_command_composes(command: str) -> None:
    arguments = shlex.split(re.sub(r"^(python run\.py|python -m caso|caso) ", "", command), comments=True)
    words = [word for word in arguments if not word.startswith("-")]
    overrides = [word for word in words if not word.startswith("resume=")]  # which Hydra never sees
    register()
    parsed = OverridesParser.create().parse_overrides(overrides)
    assert not any(o.is_sweep_override() for o in parsed) or " -m " in command
    each = [
        [f"{o.key_or_group}={value}" for value in o.sweep_string_iterator()] if o.is_sweep_override() else [given]
        for o, given in zip(parsed, overrides, strict=True)
    ]
    with initialize_config_dir(str(CONF), version_base=None):
        for job in itertools.product(*each):
            check(compose("config", overrides=list(job)))


def test_the_users_own_files_on_the_page_about_installing_compose(tmp_path: Path) -> None:
    text = INSTALL.read_text()
    files = re.findall(r"this in\s`mine/(\S+)`,\n\n```yaml\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    for file, content in files:
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(content)
    overrides = re.findall(r"^    caso --config-dir mine (.*)$", text, flags=re.MULTILINE)[0].split()
    register()
    sources = Sources(CONF, tmp_path)
    with sources.opened():
        cfg = sources.compose(overrides)
    assert (cfg.model.entry, cfg.order.name, cfg.regularization.name) == ("cats:network", "second", "path")
    check(cfg)


def test_the_page_about_installing_has_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {cells[0].strip("`") for cells in rows(section(INSTALL, "Extras"))} == set(extras)


def test_the_options_table_has_every_key_and_its_default() -> None:
    register()
    with initialize_config_dir(str(CONF), version_base=None):
        cfg = compose("config")
    listed = [(key.strip("`"), default.strip("`")) for key, default, *_ in rows(options())]
    table = dict(listed)
    assert len(listed) == len(table)
    assert set(table) == set(map(str, cfg)) | {"hydra.run.dir"}
    for folder in (path for path in CONF.iterdir() if path.is_dir() and path.name not in ("experiment", "hydra")):
        assert (folder / f"{table.pop(folder.name)}.yaml").is_file()
    assert yaml.safe_load((CONF / "config.yaml").read_text())["hydra"]["run"]["dir"].startswith("outputs/")
    del table["hydra.run.dir"]
    assert int(table.pop("pictures")) == cfg.pictures.n  # for which it is short
    for key, default in table.items():
        assert OmegaConf.create(f"value: {default}").value == cfg[key], key


def test_the_options_table_has_every_choice() -> None:
    text = options()
    for path in CONF.glob("*/*.yaml"):
        assert f"`{path.stem}`" in text, path.stem


def test_the_columns_are_those_that_are_written() -> None:
    assert [cells[0].strip("`") for cells in rows(section(RESULTS, "Columns"))] == list(COLUMNS)


def test_the_columns_of_a_sweep_are_those_that_are_written(tmp_path: Path) -> None:
    assert [cells[0].strip("`") for cells in rows(section(RESULTS, "Sweeps"))] == list(sweep.gather(tmp_path).columns)


def test_the_statuses_are_those_that_exist() -> None:
    known = {solution.CONVERGED, solution.FLOOR, solution.STOPPED, solution.NOT_FINITE}
    known |= {"computed", "unreadable", "error"}
    assert {cells[0].strip("`") for cells in rows(section(RESULTS, "Statuses"))} == known


def test_the_python_in_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    directory = re.search(r'load_run\("(.*?)"\)', "".join(blocks))
    assert directory is not None
    writer = SegmentWriter(Path(directory[1]))
    row = {"image": "coffee", "status": "converged", "map": writer.keep(torch.ones(3, 2, 2).numpy())}
    writer.commit(0, [row])
    writer.close()
    network = networks.small(classes=4)
    names = {"model": network, "x": networks.images(2, 3, 6, 5), "labels": torch.arange(30).view(6, 5) // 3}
    for block in blocks:
        exec(block, names)
    assert names["maps"].shape == names["x"].shape
    assert (names["result"].maps != 0).any()
    assert names["path"].maps.shape == (2, 20, 3, 6, 5)
    assert names["coffee"].shape == (3, 2, 2)


def test_versions_and_citation_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == caso.__version__
    assert f"## [{caso.__version__}] - {citation['date-released']}" in (ROOT / "CHANGELOG.md").read_text()
    assert citation["references"][0]["title"] in (ROOT / "README.md").read_text()
