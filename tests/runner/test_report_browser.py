"""A run's page in a real browser: offline, without errors, and by keyboard."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from caso.runner import Run, load_run
from tests.browser import asked, complaints, grounds, narrow, needs_browser, opened
from tests.conftest import CONF, logging_restored
from tests.runner.networks import TINY

pytestmark = needs_browser
RIGHT, ENTER, ESCAPE = "\ue014", "\ue007", "\ue00c"
NAMES = ("<img src=x onerror=document.title='broken'>.png", 'b & "c".png', "moon.png")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    from caso.runner.cli.app import main

    folder = tmp_path_factory.mktemp("page")
    (folder / "photographs").mkdir()
    generator = np.random.default_rng(0)
    for name in NAMES:
        pixels = generator.integers(0, 255, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photographs" / name)
    (folder / "photographs" / "broken.png").write_text("no picture")
    path = ("regularization=path", "regularization.n=6", "order=second", f"hydra.run.dir={folder}/run")
    with logging_restored(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "sys.argv", ["run.py", *TINY, f"image={folder}/photographs", *path, f"hydra.run.dir={folder}/run"]
        )
        assert main(CONF) == 1, "one cannot be read"
    return load_run(folder / "run")


@pytest.fixture
def browser(run: Run) -> Iterator[Any]:
    with opened(run.directory / "report.html") as driver:
        yield driver


def all_of(browser: Any, selector: str) -> list[Any]:
    return list(browser.find_elements("css selector", selector))


def names(browser: Any) -> list[str]:
    return [one.text for one in all_of(browser, "#images tbody tr:not([hidden]) th")]


def heading(browser: Any, name: str) -> Any:
    return next(one for one in all_of(browser, "#images thead button") if one.text.startswith(name))


def column(browser: Any, label: str) -> list[str]:
    return [one.get_attribute("data-value") for one in all_of(browser, f"#images td[data-label='{label}']")]


def test_it_opens_offline_and_without_errors(browser: Any) -> None:
    assert browser.title == "tests.runner.networks:tiny, 4 images · caso"
    assert set(names(browser)) == {*NAMES, "broken.png"}
    for picture in all_of(browser, "#images img"):
        browser.execute_script("arguments[0].scrollIntoView(); return arguments[0].decode()", picture)
        assert int(browser.execute_script("return arguments[0].naturalWidth", picture)) > 0
    assert complaints(browser) == []
    addresses = asked(browser)
    assert addresses
    assert all(url.startswith(("file://", "data:")) for url in addresses)
    shown = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("L")
    assert np.asarray(shown).std() > 5


def test_headings_sort_by_keyboard_and_what_is_missing_stays_last(browser: Any) -> None:
    heading(browser, "residual").send_keys(ENTER)
    values = column(browser, "residual")
    assert values[-1] == ""
    assert [float(one) for one in values[:-1]] == sorted(float(one) for one in values[:-1])
    assert [one.get_attribute("aria-sort") for one in all_of(browser, "#images th[aria-sort]")] == ["ascending"]
    heading(browser, "residual").send_keys(ENTER)
    assert column(browser, "residual") == [*reversed(values[:-1]), ""]
    heading(browser, "image").send_keys(ENTER)
    assert sorted(names(browser), key=str.casefold)[1:] == [one for one in names(browser) if not one.startswith("<")]


def test_headings_stand_above_their_columns(browser: Any) -> None:
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.getBoundingClientRect().left)"
    headings = browser.execute_script(script, "#images thead th")
    for row in range(1, 5):
        assert browser.execute_script(script, f"#images tbody tr:nth-child({row}) > *") == headings
    assert len(set(headings)) == len(headings) == 9


def test_rows_are_found_by_words_class_and_status(browser: Any, run: Run) -> None:
    search = browser.find_element("id", "find")
    search.send_keys("MOON")
    assert names(browser) == ["moon.png"]
    assert browser.find_element("id", "count").text == "1 of 4 shown"
    search.clear()
    search.send_keys("no such thing")
    assert names(browser) == []
    assert browser.find_element("id", "none").is_displayed()
    search.clear()
    search.send_keys(" ")
    browser.find_element("css selector", "#of-status option[value='unreadable']").click()
    assert names(browser) == ["broken.png"]


def test_the_slider_goes_through_the_path_by_keyboard(browser: Any, run: Run) -> None:
    slider = browser.find_element("id", "setting")
    browser.execute_script("arguments[0].value = 0; arguments[0].dispatchEvent(new Event('input'))", slider)
    known = run.table[run.table["status"] != "unreadable"].sort_values(["image", "lambda1"])
    rows = {name: group.reset_index() for name, group in known.groupby("image")}
    seen = []
    for step in range(6):
        assert slider.get_attribute("value") == str(step)
        assert f"({step + 1} of 6)" in browser.find_element("id", "value").text
        for row in all_of(browser, "#images tbody tr"):
            name = row.find_element("css selector", "th").text
            if name not in rows:
                continue
            sparsity, lambda1 = (row.find_element("css selector", f"td.{one}") for one in ("sparsity", "lambda1"))
            assert float(sparsity.get_attribute("data-value")) == rows[name]["sparsity"][step]
            assert float(lambda1.get_attribute("data-value")) == rows[name]["lambda1"][step]
        seen.append(all_of(browser, "#images img.map")[0].get_attribute("src"))
        slider.send_keys(RIGHT)
    assert len(set(seen)) == 6
    assert complaints(browser) == []


def test_a_picture_opens_in_full_and_closes_by_keyboard(browser: Any) -> None:
    link = next(one for one in all_of(browser, "#images td.look a"))
    link.send_keys(ENTER)
    image = browser.find_element("id", "picture-image")
    browser.execute_script("return arguments[0].decode()", image)
    assert int(browser.execute_script("return arguments[0].naturalWidth", image)) > 400
    first = browser.find_element("id", "picture-name").text
    browser.switch_to.active_element.send_keys(RIGHT)
    assert browser.find_element("id", "picture-name").text != first
    browser.switch_to.active_element.send_keys(ESCAPE)
    assert not browser.find_element("id", "picture").is_displayed()
    assert complaints(browser) == []


def test_it_follows_the_colours_that_the_reader_prefers_and_fits_a_telephone(browser: Any) -> None:
    light, dark = grounds(browser)
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    narrow(browser, 390)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    assert heading(browser, "sparsity").is_displayed()


def test_without_scripts_all_images_are_there(browser: Any, run: Run) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get((run.directory / "report.html").as_uri())
    assert len(names(browser)) == 4
    assert not browser.find_element("id", "find").is_displayed()
    assert browser.find_element("css selector", "#images td.look a").get_attribute("href").endswith(".png")
