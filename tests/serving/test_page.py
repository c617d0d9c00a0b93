"""The page in a real browser, against the real service: what it shows is what the service says."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from page_facts import Page, asked, csv_file, look_again, power_file, quantile, table_of, the_farm, the_forecast

pytest_plugins = ["browsers"]
expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect


def test_no_request_leaves_the_origin_and_the_console_stays_silent(browser: Any, page_url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked_for: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked_for.append(request.url))
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(page_url)
    page.wait_for_selector("#scores svg")
    here = urlsplit(page_url).netloc
    away = [url for url in asked_for if urlsplit(url).scheme not in ("blob", "data") and urlsplit(url).netloc != here]
    assert asked_for
    assert away == []
    assert said == []
    context.close()


def test_the_chart_has_every_lead_time_and_names_its_axes(open_page: Callable[..., Page], page_url: str) -> None:
    forecast = the_forecast(page_url)
    page = open_page(page_url)
    steps = page.get_attribute("#fan path.median", "d")
    assert steps.count("H") == len(forecast["valid_times"])
    assert page.locator("#fan path.band").count() == 3
    axes = page.locator("#fan text.axis").all_text_contents()
    assert axes == ["Power (MW)", "Time (UTC)"]
    label = page.get_attribute("#fan svg", "aria-label")
    assert f"{len(forecast['valid_times'])} lead times" in label
    assert "power in MW" in label
    assert page.locator("#fan text", has_text="issued").count() == 1
    assert page.locator("#fan text", has_text=f"capacity {forecast['capacity_mw']:g} MW").count() == 1


def test_a_higher_forecast_stands_higher_in_the_chart(open_page: Callable[..., Page], page_url: str) -> None:
    forecast = the_forecast(page_url)
    page = open_page(page_url)
    heights = [float(y) for y in re.findall(r",([\d.]+)H", page.get_attribute("#fan path.median", "d"))]
    medians = [quantile(forecast, lead, 0.5) for lead in range(len(forecast["valid_times"]))]
    zero, top = (page.locator("#fan line.base").first.get_attribute("y1"), page.get_attribute("line.capacity", "y1"))
    per_mw = (float(zero) - float(top)) / forecast["capacity_mw"]
    assert heights == pytest.approx([float(zero) - per_mw * median for median in medians], abs=0.2)


def test_the_table_says_what_the_api_says(open_page: Callable[..., Page], page_url: str) -> None:
    forecast = the_forecast(page_url)
    page = open_page(page_url)
    heads = page.locator("#table thead th").all_text_contents()
    assert [head.replace("\xa0", " ") for head in heads[:7]] == [
        *("Valid (UTC)", "Lead", "5 %", "25 %", "Median", "75 %", "95 %")
    ]
    rows = table_of(page)
    times = page.eval_on_selector_all("#table time", "all => all.map(time => time.dateTime)")
    assert times == forecast["valid_times"]
    for lead, row in enumerate(rows):
        digits = len(row[2].partition(".")[2])
        expected = [quantile(forecast, lead, level) for level in (0.05, 0.25, 0.5, 0.75, 0.95)]
        assert [float(cell) for cell in row[2:7]] == pytest.approx(expected, abs=0.51 * 10**-digits)


def test_headline_names_the_farm_its_issue_time_and_its_rung(open_page: Callable[..., Page], page_url: str) -> None:
    forecast = the_forecast(page_url)
    page = open_page(page_url)
    expect(page.locator("h1")).to_have_text(forecast["title"])
    assert page.get_attribute("#facts time", "datetime") == forecast["issue_time"]
    expect(page.locator("#facts")).to_contain_text("ago")
    full = {"fresh": 5, "older_run": 4, "no_weather": 3, "no_power": 2, "nothing": 1}[forecast["inputs"]["rung"]]
    assert page.locator("#status rect.full").count() == full
    for sentence in forecast["inputs"]["missing"]:
        expect(page.locator("#inputs")).to_contain_text(sentence.strip()[1:])


def test_copy_puts_the_unrounded_table_on_the_clipboard(open_page: Callable[..., Page], page_url: str) -> None:
    forecast = the_forecast(page_url)
    page = open_page(page_url, permissions=["clipboard-read", "clipboard-write"])
    page.click("#copy")
    expect(page.locator("#copy")).to_have_text("Copied")
    head, *rows = (line.split("\t") for line in page.evaluate("navigator.clipboard.readText()").split("\n"))
    assert [row[0] for row in rows] == forecast["valid_times"]
    assert head[3:-1] == [f"q{level * 100:g}_mw" for level in forecast["levels"]]
    assert [[float(cell) for cell in row[3:-1]] for row in rows] == forecast["quantiles_mw"]


def test_a_dropped_csv_shows_its_own_forecast_and_a_way_back(open_page: Callable[..., Page], page_url: str) -> None:
    page = open_page(page_url)
    before = table_of(page)
    content = power_file(the_farm(page_url)).decode()
    with page.expect_response("**/predict?format=json") as answer:
        page.evaluate(
            """text => {
                const carried = new DataTransfer();
                carried.items.add(new File([text], "my turbines.csv", { type: "text/csv" }));
                for (const type of ["dragenter", "dragover", "drop"])
                    document.body.dispatchEvent(new DragEvent(type, { dataTransfer: carried, bubbles: true }));
            }""",
            content,
        )
    forecast = answer.value.json()
    expect(page.locator("#own")).to_contain_text("From your file my turbines.csv")
    expect(page.locator("#table time").first).to_have_attribute("datetime", forecast["valid_times"][0])
    assert table_of(page) != before
    with page.expect_download() as download:
        page.click("#get-png")
    assert download.value.suggested_filename == "my turbines-forecast.png"
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    page.click("#own-back")
    expect(page.locator("#own")).to_be_hidden()
    assert table_of(page) == before


def test_a_refresh_leaves_the_forecast_of_a_file_on_show(open_page: Callable[..., Page], page_url: str) -> None:
    page = open_page(page_url)
    page.set_input_files("#file", csv_file("mine.csv", power_file(the_farm(page_url))))
    expect(page.locator("#own")).to_be_visible()
    mine = table_of(page)
    with page.expect_response("**/forecasts/latest?*"):
        look_again(page)
    page.wait_for_timeout(200)
    assert table_of(page) == mine


def test_a_bad_csv_is_answered_with_the_services_sentence(open_page: Callable[..., Page], page_url: str) -> None:
    page = open_page(page_url)
    before = table_of(page)
    with page.expect_response("**/predict?format=json") as answer:
        page.set_input_files("#file", csv_file("bad.csv", b"a,b\n1,2\n"))
    problem = answer.value.json()
    assert answer.value.status == problem["status"] >= 400
    expect(page.locator("#drop-problem")).to_have_text(problem["detail"])
    assert table_of(page) == before


@pytest.mark.parametrize(("kind", "start"), [("csv", b"issue_time,"), ("png", b"\x89PNG"), ("json", b"{")])
def test_the_forecast_can_be_downloaded(open_page: Callable[..., Page], page_url: str, kind: str, start: bytes) -> None:
    page = open_page(page_url)
    with page.expect_download() as download:
        page.click(f"#get-{kind}")
    assert download.value.suggested_filename.endswith(f".{kind}")
    assert Path(download.value.path()).read_bytes().startswith(start)


def test_scores_are_shown_against_what_they_should_be(open_page: Callable[..., Page], page_url: str) -> None:
    scores = asked(page_url, f"/v1/farms/{the_farm(page_url)['name']}/scores?days=30")
    page = open_page(page_url, ready="#scores svg")
    words = page.locator("#scores").inner_text().replace("\xa0", " ")
    assert f"{scores['crps'] * 100:.1f} %" in words
    assert f"{scores['nmae'] * 100:.1f} %" in words
    pictures = page.eval_on_selector_all("#scores svg", "all => all.map(one => one.getAttribute('aria-label'))")
    assert f"the 90 % band held {scores['coverage']['90'] * 100:.1f} %" in " ".join(pictures)
    page.click("#scores summary")
    assert page.locator("#scores table").first.locator("tbody tr").count() == len(scores["leads"])


def test_a_service_that_is_gone_leaves_the_last_forecast_marked_as_old(
    open_page: Callable[..., Page], page_url: str
) -> None:
    page = open_page(page_url)
    before = table_of(page)
    page.route("**/v1/**", lambda route: route.abort())
    look_again(page)
    expect(page.locator("#trouble")).to_contain_text("The service cannot be reached")
    expect(page.locator("#status")).to_contain_text("Not live")
    assert table_of(page) == before
    page.unroute("**/v1/**")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#trouble")).to_be_hidden()
    expect(page.locator("#status")).not_to_contain_text("Not live")


def test_a_problem_of_the_service_is_shown_in_its_words(open_page: Callable[..., Page], page_url: str) -> None:
    problem = {"title": "Unavailable", "status": 503, "detail": "The store does not answer.", "request_id": "abc"}
    page = open_page(page_url)
    page.route(
        "**/v1/**", lambda route: route.fulfill(status=503, json=problem, content_type="application/problem+json")
    )
    look_again(page)
    expect(page.locator("#trouble")).to_contain_text("Unavailable. The store does not answer. (request abc)")


def test_names_and_sentences_are_never_read_as_markup(page_url: str, browser: Any) -> None:
    evil = "<img src=x onerror=alert(1)>"
    forecast = the_forecast(page_url) | {"title": evil, "notes": [evil]}
    context = browser.new_context()
    page = context.new_page()
    page.route("**/forecasts/latest?*", lambda route: route.fulfill(json=forecast))
    page.goto(page_url)
    expect(page.locator("h1")).to_have_text(evil)
    assert page.locator("main img").count() == 0
    context.close()


def test_the_page_works_below_a_path_prefix(page_url: str, browser: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    prefixed = page_url.rstrip("/") + "/wind/park/"
    seen: list[str] = []

    def forward(route: Any) -> None:
        seen.append(route.request.url)
        route.fulfill(response=route.fetch(url=route.request.url.replace("/wind/park", "")))

    page.route("**/*", forward)
    page.goto(prefixed)
    page.wait_for_selector("#scores svg")
    assert [url for url in seen if not url.startswith(prefixed)] == []
    assert page.evaluate("document.getElementById('docs').href") == f"{prefixed}docs"
    context.close()


def test_a_key_is_asked_for_once_and_kept_for_the_tab(
    open_page: Callable[..., Page], page_key_url: str, page_key: str
) -> None:
    page = open_page(page_key_url, ready="#key-form:not([hidden])")
    assert page.evaluate("document.activeElement.id") == "key"
    page.fill("#key", "wc_wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#key-hint")).to_contain_text("not accepted")
    page.fill("#key", page_key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#table tbody tr")
    expect(page.locator("#key-form")).to_be_hidden()
    assert page_key not in page.url
    with page.expect_download() as download:
        page.click("#get-csv")
    assert Path(download.value.path()).read_bytes().startswith(b"issue_time,")
    page.reload()
    page.wait_for_selector("#table tbody tr")
    expect(page.locator("#key-form")).to_be_hidden()
    farms = asked(page_key_url, "/v1/farms", page_key)["items"]
    assert page.locator("h1").text_content() in [farm["title"] for farm in farms]
