"""The page for every reader: keyboard, pointer, screen reader, any width, both colour schemes."""

import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from page_facts import Page, asked, csv_file, look_again, power_file, table_of, the_farm, the_forecast

pytest_plugins = ["browsers"]
expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
WIDTHS = (360, 768, 1280, 3840)
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()


def test_a_low_rung_is_told_in_words_and_by_shape(open_page: Callable[..., Page], page_url: str, browser: Any) -> None:
    forecast = the_forecast(page_url)
    leads = len(forecast["valid_times"])
    forecast["inputs"] |= {"rung": "no_power", "sentence": "no recent power; from weather alone"}
    forecast["inputs"] |= {"rungs": ["no_power"] * 2 + ["fresh"] * (leads - 2), "missing": ["no power since Friday"]}
    context = browser.new_context()
    page = context.new_page()
    page.route("**/forecasts/latest?*", lambda route: route.fulfill(json=forecast))
    page.goto(page_url)
    expect(page.locator("#status")).to_contain_text(f"No recent power for 2 of {leads} lead times")
    expect(page.locator("#inputs")).to_contain_text("No power since Friday.")
    assert page.locator("#status rect.full").count() == 2
    assert page.locator("#fan rect.lower").count() == 2
    assert [row[-1] for row in table_of(page)[:3]] == ["no power", "no power", "fresh"]
    context.close()


def test_the_days_that_were_measured_stand_in_the_zone_of_the_page(browser: Any, page_url: str) -> None:
    scores = asked(page_url, f"/v1/farms/{the_farm(page_url)['name']}/scores?days=30")
    scores |= {"measured_start": "2015-12-24T02:00:00Z", "measured_end": "2016-01-01T02:00:00Z"}
    context = browser.new_context(timezone_id="America/New_York")
    page = context.new_page()
    page.route("**/scores?*", lambda route: route.fulfill(json=scores))
    page.add_init_script("localStorage.setItem('windcast.zone', 'local')")
    page.goto(page_url)
    expect(page.locator("#scores")).to_contain_text("23 Dec 2015 to 31 Dec 2015")
    context.close()
    expected = "all of them were" if scores["filled_in"] == scores["forecasts"] else f"{scores['filled_in']} of them"
    assert scores["filled_in"]
    other = browser.new_context()
    page = other.new_page()
    page.goto(page_url)
    expect(page.locator("#scores")).to_contain_text(f"{expected} filled in afterwards from data on file")
    other.close()


def fulfilled(answer: dict[str, Any], route: Any) -> None:
    route.fulfill(json=answer)


def test_too_few_measured_lead_times_are_said_to_be_too_few(browser: Any, page_url: str) -> None:
    scores = asked(page_url, f"/v1/farms/{the_farm(page_url)['name']}/scores?days=30")
    for pairs, charts in ((23, 2), (24, 3)):
        context = browser.new_context()
        page = context.new_page()
        answer = scores | {"pairs": pairs}
        page.route("**/scores?*", partial(fulfilled, answer))
        page.goto(page_url)
        page.wait_for_selector("#scores svg")
        expect(page.locator("#scores figure")).to_have_count(charts)
        expect(page.locator("#scores", has_text="Too few to judge")).to_have_count(int(pairs < 24))
        context.close()


def test_a_dropped_file_is_read_in_the_time_zone_that_is_given(open_page: Callable[..., Page], page_url: str) -> None:
    page = open_page(page_url)
    page.fill("#file-zone", "America/New_York")
    with page.expect_response("**/predict?*") as answer:
        page.set_input_files("#file", csv_file("mine.csv", power_file(the_farm(page_url))))
    assert any("read in America/New_York, as was asked for" in note for note in answer.value.json()["notes"])
    expect(page.locator("#inputs")).to_contain_text("mine.csv: stamps")


def test_arrow_keys_move_the_cursor_and_it_is_read_aloud(open_page: Callable[..., Page], page_url: str) -> None:
    forecast = the_forecast(page_url)
    page = open_page(page_url)
    cursor = page.locator("#cursor")
    cursor.focus()
    page.keyboard.press("Home")
    assert cursor.get_attribute("aria-valuenow") == "0"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert cursor.get_attribute("aria-valuenow") == "2"
    row = table_of(page)[2]
    spoken = cursor.get_attribute("aria-valuetext")
    assert f"median {row[4]} MW" in spoken
    assert f"90 % band {row[2]} to {row[6]} MW" in spoken
    expect(page.locator("#readout time")).to_have_attribute("datetime", forecast["valid_times"][2])
    expect(page.locator("#table tr.shown")).to_have_attribute("data-lead", "2")
    page.keyboard.press("End")
    assert cursor.get_attribute("aria-valuenow") == str(len(forecast["valid_times"]) - 1)


def test_the_pointer_reads_the_chart(open_page: Callable[..., Page], page_url: str) -> None:
    page = open_page(page_url)
    box = page.locator("#cursor").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + box["height"] / 2)
    last = len(table_of(page)) - 1
    assert int(page.get_attribute("#table tr.shown", "data-lead")) >= last - 4
    page.mouse.move(box["x"] + 60, box["y"] + box["height"] / 2)
    assert page.locator("#table tr.shown").count() == 0
    expect(page.locator("#readout")).to_contain_text("past")


def test_a_refresh_keeps_focus_and_cursor(open_page: Callable[..., Page], page_url: str) -> None:
    page = open_page(page_url)
    page.locator("#cursor").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    with page.expect_response("**/forecasts/latest?*"):
        look_again(page)
    page.wait_for_timeout(200)
    assert page.evaluate("document.activeElement.id") == "cursor"
    assert page.get_attribute("#cursor", "aria-valuenow") == "1"


def test_local_time_changes_axis_and_table_but_no_instant(open_page: Callable[..., Page], page_url: str) -> None:
    page = open_page(page_url, timezone_id="Asia/Kolkata")
    times = "all => all.map(time => [time.dateTime, time.textContent])"
    in_utc = page.eval_on_selector_all("#table time", times)
    page.get_by_role("radio", name="Local").check(force=True)
    expect(page.locator("#fan text.axis").last).to_have_text("Time (GMT+5:30)")
    in_india = page.eval_on_selector_all("#table time", times)
    assert [instant for instant, _ in in_utc] == [instant for instant, _ in in_india]
    assert all(one != other for (_, one), (_, other) in zip(in_utc, in_india, strict=True))


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_scrolls_sideways(open_page: Callable[..., Page], page_url: str, width: int) -> None:
    page = open_page(page_url, width=width, ready="#scores svg")
    page.click("#scores summary")
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_nothing_jumps_while_it_loads_and_refreshes(page_url: str, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 768, "height": 1024})
    page = context.new_page()
    page.add_init_script(
        "window.moved = 0; new PerformanceObserver(list => list.getEntries().forEach(e => { moved += e.value }))"
        ".observe({ type: 'layout-shift', buffered: true })"
    )
    page.goto(page_url)
    page.wait_for_selector("#scores svg")
    with page.expect_response("**/forecasts/latest?*"):
        look_again(page)
    page.wait_for_timeout(300)
    assert page.evaluate("moved") < 0.01
    context.close()


def test_the_dark_scheme_has_its_own_colours(open_page: Callable[..., Page], page_url: str) -> None:
    look = """() => ["body", "#fan path.median", "#fan path.band-50", "#status strong"].map(part => {
        const style = getComputedStyle(document.querySelector(part));
        return [style.color, style.backgroundColor, style.fill, style.stroke].join();
    })"""
    light, dark = (open_page(page_url, color_scheme=scheme).evaluate(look) for scheme in ("light", "dark"))
    assert all(one != other for one, other in zip(light, dark, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(open_page: Callable[..., Page], page_url: str, scheme: str) -> None:
    page = open_page(page_url, color_scheme=scheme, ready="#scores svg")
    page.click("#scores summary")
    page.set_input_files("#file", csv_file("bad.csv", b"a,b\n1,2\n"))
    page.wait_for_selector("#drop-problem:not([hidden])")
    found = page.evaluate(CONTRAST)
    assert found["checked"] > 60
    assert found["faint"] == []


def test_bands_differ_in_lightness_alone(open_page: Callable[..., Page], page_url: str) -> None:
    page = open_page(page_url)
    fills = page.eval_on_selector_all("#fan path.band", "all => all.map(one => getComputedStyle(one).fill)")
    grey = [sum(w * int(c) for w, c in zip((0.3, 0.59, 0.11), re.findall(r"\d+", f), strict=True)) for f in fills]
    assert len(grey) == 3
    assert grey == sorted(grey, reverse=True)
    assert min(a - b for a, b in pairwise(grey)) > 20


def test_headings_landmarks_and_names_are_in_order(open_page: Callable[..., Page], page_url: str) -> None:
    page = open_page(page_url, ready="#scores svg")
    levels = page.eval_on_selector_all("h1, h2, h3", "all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(b - a for a, b in pairwise(levels)) <= 1
    for role in ("banner", "main", "navigation"):
        assert page.get_by_role(role).count() == 1
    unnamed = page.eval_on_selector_all(
        "button, select, input, a[href], [role=img], [role=slider], [role=region]",
        """all => all.filter(one => !(one.getAttribute("aria-label") || one.textContent.trim()
            || one.labels?.[0]?.textContent.trim())).map(one => one.outerHTML)""",
    )
    assert unnamed == []


def test_every_control_is_reached_by_tab_and_shows_it(open_page: Callable[..., Page], page_url: str) -> None:
    page = open_page(page_url, ready="#scores svg")
    seen = {}
    for _ in range(30):
        page.keyboard.press("Tab")
        name, outlined = page.evaluate(
            """() => {
                const here = document.activeElement;
                const drawn = one => one && getComputedStyle(one).outlineStyle !== "none";
                return [here.id || here.className || here.tagName,
                        drawn(here) || drawn(here.closest("label")) || drawn(here.closest("fieldset"))];
            }"""
        )
        if name == "BODY":
            break
        seen[name] = outlined
    assert {"skip", "cursor", "copy", "get-csv", "get-png", "get-json", "days", "file", "docs"} <= set(seen)
    assert [name for name, outlined in seen.items() if not outlined] == []
