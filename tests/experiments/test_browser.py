"""The report in a real browser: offline, without errors, and the slider moves the maps."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import asked, complaints, grounds, narrow, needs_browser, opened
from tests.experiments.conftest import NAMES

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser(report: Path) -> Iterator[Any]:
    with opened(report / "report.html") as driver:
        yield driver


def sources(browser: Any) -> list[str]:
    return [str(image.get_attribute("src")) for image in browser.find_elements("css selector", "#stage img")]


def move(browser: Any, place: int) -> None:
    browser.execute_script(
        "const slider = document.getElementById('lambda1'); slider.value = arguments[0];"
        "slider.dispatchEvent(new Event('input', {bubbles: true}));",
        place,
    )


def test_it_opens_offline_and_without_errors(browser: Any) -> None:
    assert browser.title == "CASO and CAFO: experiments"
    assert complaints(browser) == []
    addresses = asked(browser)
    assert addresses
    assert all(url.startswith(("file://", "data:")) for url in addresses)


def test_every_picture_is_drawn(browser: Any) -> None:
    for image in browser.find_elements("css selector", "#gallery img"):
        assert int(browser.execute_script("return arguments[0].naturalWidth", image)) > 0
    for figure in browser.find_elements("css selector", "figure svg"):
        assert figure.size["width"] > 100
        assert figure.size["height"] > 50


def test_the_slider_moves_maps_scores_and_cursor(browser: Any) -> None:
    move(browser, 0)
    photograph, *dense = sources(browser)
    first = browser.find_element("css selector", "#stage dl").text
    assert browser.find_element("id", "value").text == "0.00001"
    move(browser, 9)
    again, *sparse = sources(browser)
    assert again == photograph
    assert all(one != other for one, other in zip(dense, sparse, strict=True))
    assert browser.find_element("css selector", "#stage dl").text != first
    assert browser.find_element("id", "value").text == "0.1"


def test_the_keyboard_moves_the_slider(browser: Any) -> None:
    move(browser, 0)
    slider = browser.find_element("id", "lambda1")
    slider.send_keys("\ue014")  # the right arrow
    assert slider.get_property("value") == "1"
    assert browser.find_element("id", "value").text == "0.0001"


def test_names_with_markup_are_shown_as_text(browser: Any) -> None:
    seen = []
    for button in browser.find_elements("css selector", "#choices button"):
        browser.execute_script("arguments[0].click()", button)  # at once, whatever scrolls
        seen.append(browser.find_element("css selector", "#stage figcaption b").text)
    assert any("<" in name for name in seen)
    assert {name.removesuffix(".png") for name in seen} <= set(NAMES)
    assert browser.title == "CASO and CAFO: experiments"
    assert browser.find_elements("css selector", "img[onerror]") == []
    assert any("<img src=x onerror" in cell.text for cell in browser.find_elements("css selector", "td"))


def test_it_follows_the_colours_that_the_reader_prefers(browser: Any) -> None:
    light, dark = grounds(browser)
    assert light[0] != dark[0]
    assert light[1] != dark[1]


def test_it_fits_a_telephone(browser: Any) -> None:
    narrow(browser, 390)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
