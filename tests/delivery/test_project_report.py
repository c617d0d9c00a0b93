"""A report is held to its own rules, finding by finding, and its page needs nothing else and runs nothing."""

import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from reports.report import main

OURS = Path(__file__).parents[2] / "reports"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
GOOD = """\
---
layout: default
---
# Report

### Question 1
> **Who are you?**
>
> Answer:

Group seven

## Part two

### Question 2
> **Why? Insert 1-2 images of it.**
>
> *Answer length: 5-10 words*
>
> Example:
> *We did ... because of reasons and more.*
>
> Answer:

We did it because it was worth doing.

![x](figures/a.png)

### Question 3: with `code`
> **How?**
>
> *no more than 3 words*
>
> Answer: like this
"""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a.png").write_bytes(PNG)
    (tmp_path / "figures" / "b.png").write_bytes(PNG + b"b")
    (tmp_path / "figures" / "c.png").write_bytes(PNG + b"c")
    path = tmp_path / "README.md"
    path.write_text(GOOD, encoding="utf-8")
    return path


def page(path: Path, text: str | None = None) -> str:
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert main(["html", str(path)]) == 0
    return (path.parent / "report.html").read_text(encoding="utf-8")


def test_a_report_that_keeps_its_rules_has_no_findings(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(report)]) == 0
    assert capsys.readouterr() == ("", "3 questions, no findings\n")


@pytest.mark.parametrize(
    ("before", "after", "finding"),
    [
        ("We did it because it was worth doing.", "We did it.", "25: question 2: 3 words, due 5 to 10"),
        ("worth doing.", "worth doing and more and more.", "25: question 2: 12 words, due 5 to 10"),
        ("Answer: like this", "Answer: like this or so", "34: question 3: 4 words, due at most 3"),
        ("Group seven", "", "9: question 1: unanswered"),
        ("Group seven", "…", "11: question 1: unanswered"),
        ("Group seven", "--- question 1 fill here ---", "11: question 1: unanswered: only the placeholder"),
        ("Group seven", "Group seven\nTODO", "12: question 1: placeholder left: 'TODO'"),
        ("Group seven", "<!-- Group seven -->", "11: question 1: unanswered"),
        ("![x](figures/a.png)", "", "25: question 2: no images, due 1 to 2"),
        (
            "![x](figures/a.png)",
            "![x](figures/a.png) ![](figures/b.png) <img src='figures/c.png'>",
            "25: question 2: 3 images, due 1 to 2",
        ),
        ("figures/a.png", "figures/z.png", "27: question 2: image 'figures/z.png' does not exist"),
        (
            "figures/a.png",
            "https://example.com/a.png",
            "27: question 2: image 'https://example.com/a.png' is not a file",
        ),
        ("figures/a.png", "README.md", "27: question 2: image 'README.md' is no PNG"),
        ("5-10 words", "a few words", "18: question 2: rule cannot be read: 'Answer length: a few words'"),
        ("5-10 words", "10-5 words", "18: question 2: rule cannot be read"),
        ("> *no more", "> *Answer length: 1 word*\n> *no more", "33: question 3: two rules for words"),
        ("### Question 2", "### Question 3", "29: question 3: number used before, in line 15"),
        ("### Question 2\n", "### Another\n", "29: question 2: missing before question 3"),
        ("### Question 1", "### Question 4", "15: question 1: missing before question 2"),
        (
            "We did it because it was worth doing.",
            "We did … because of reasons and more",
            "25: question 2: the answer is the example",
        ),
        ("Group seven", "Group seven\n\n```\nx", "13: code block that nothing closes"),
    ],
)
def test_what_breaks_a_rule_is_named_at_its_line(
    report: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, finding: str
) -> None:
    assert GOOD.count(before) == 1
    report.write_text(GOOD.replace(before, after), encoding="utf-8")
    assert main(["check", str(report)]) == 1
    found = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"{report}:{finding}") for line in found), found


@pytest.mark.parametrize(
    "shape",
    [
        "### Question 1\n> Why?\n> Answer length: 2 words\n> Answer:\nyes indeed\n",
        "### Question 1\n> Why?\n> Answer length: 2 words\n>\n> Answer: yes indeed\n",
        "### Question 1\n> Why?\n> Answer length: 2 words\n>\n> Answer:\n> yes indeed\n",
        "## Q1. Why\n\n> *2 words*\n\n**Answer:** yes indeed\n",
        "Question 1\n----------\n> *2 words*\n\n#### Answer\n\nyes indeed\n",
        "# question 1\r\n> _2 words_\r\n\r\nAnswer:\r\n\r\nyes indeed\r\n",
        "### Question 1\n> **2 words**\n\nyes indeed\n",
        "### Question 1\n> **2 words**\n>\n> Answer:\n\nyes\n\n#### indeed\n",
    ],
)
def test_an_answer_is_found_in_each_usual_shape(report: Path, capsys: pytest.CaptureFixture[str], shape: str) -> None:
    report.write_bytes(shape.encode())
    assert main(["check", str(report)]) == 0, capsys.readouterr().out
    report.write_bytes(shape.replace("indeed", "indeed it is so").encode())
    assert main(["check", str(report)]) == 1
    assert "5 words, due 2 to 2 (about 2)" in capsys.readouterr().out


def test_a_heading_in_code_is_no_question_and_code_is_no_placeholder(report: Path) -> None:
    report.write_text(GOOD.replace("Group seven", "Seven `TODO`\n\n```\n### Question 9\n```"), encoding="utf-8")
    assert main(["check", str(report)]) == 0


@pytest.mark.parametrize(
    "content", [None, b"\xff\xfe\xff", b"# No question\n", b"x" * 300_001, b"### Question 1\n\n" + b"![" * 50_000]
)
@pytest.mark.parametrize("command", ["check", "html"])
def test_a_document_that_cannot_be_read_ends_with_2_and_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, content: bytes | None
) -> None:
    path = tmp_path / "README.md"
    if content is not None:
        path.write_bytes(content)
    assert main([command, str(path)]) == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith(f"{path}:")
    assert [p.name for p in tmp_path.iterdir()] == ([] if content is None else ["README.md"])


def test_our_own_report_keeps_its_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0, capsys.readouterr().out


class Requests(HTMLParser):
    """Whatever in a page would be fetched or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.images: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "base", "form", "svg", "video", "audio", "source", "input"):
            self.found.append(tag)
        for name, value in attrs:
            if tag == "img" and name == "src":
                self.images.append(str(value))
            loads = name in ("src", "srcset", "poster", "background", "action") or (tag == "link" and name == "href")
            if (
                (loads and not str(value).startswith("data:"))
                or name.startswith("on")
                or (name == "style" and not str(value).startswith("text-align:"))
            ):
                self.found.append(f"{tag} {name}={value}")
            if tag == "a" and name == "href" and not re.match(r"#|https?://|mailto:|[\w./-]+$", str(value)):
                self.found.append(f"{tag} {name}={value}")


def test_our_own_page_holds_its_figures_and_asks_nobody_for_anything(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert main(["html", "--out", str(out)]) == 0
    html = out.read_text(encoding="utf-8")
    requests = Requests(html)
    assert requests.found == []
    assert len(requests.images) == len(re.findall(r"!\[", (OURS / "README.md").read_text(encoding="utf-8"))) >= 5
    assert not re.search(r"url\(|@import", html)
    assert "Not shown" not in html
    assert len(html) < 500_000


HOSTILE = """\
### Question 1
> Why?
>
> Answer:

<script>alert(1)</script>

x <script>alert(2)</script> <img src="figures/a.png" onerror="alert(3)"> <svg onload=alert(4)> <b onclick="x">kept</b>

[a](javascript:alert(5)) [b](<java\tscript:alert(6)>) [c](JaVaScRiPt&#58;alert(7)) [d](vbscript:x)
[e](data:text/html,x) [f](file:///etc)

![h](../../etc/passwd) ![i](/etc/passwd) ![j](..%2f..%2fetc%2fpasswd) ![k](file:///etc/passwd)
![l](https://example.com/x.png)
![m](//example.com/x.png) ![n](data:image/png;base64,AAAA) ![o](figures/out.png)
![p](figures) ![" onerror="x](figures/a.png)
![q](figures/%00.png) ![r](x%5c..%5c..) ![s](<figures/a.png\n" onload="alert(8)>)

<iframe src="https://example.com"></iframe><style>body { background: url(https://example.com) }</style>
<a href="javascript:x">link</a> <form action="https://example.com"><input autofocus onfocus=alert(9)></form>

[z]: https://example.com "\\"><script>alert(10)</script>"
[z] `<script>alert(11)</script>`

```"><script>alert(12)</script>
<script>alert(13)</script>
```
"""


def test_nothing_in_a_hostile_document_runs_or_is_fetched_and_no_file_outside_is_read(report: Path) -> None:
    secret = report.parent.parent / "secret.png"
    secret.write_bytes(PNG + b"secret")
    try:
        (report.parent / "figures" / "out.png").symlink_to(secret)
    except OSError:
        pytest.skip("no links on this system")
    html = page(report, HOSTILE)
    requests = Requests(html)
    assert requests.found == []
    assert len(set(requests.images)) == 1, "only the figure of the document's own folder is shown"
    assert "default-src 'none'" in html
    assert html.count("Not shown") >= 11
    assert "kept" in html
    assert main(["check", str(report)]) == 1


def test_titles_and_names_of_questions_are_text(report: Path) -> None:
    html = page(report, '# <script>x</script>\n\n### Question 1: <img src=x onerror=alert(1)> "a\n> Answer: yes\n')
    assert Requests(html).found == []
    assert "<script" not in html


@pytest.mark.parametrize("text", [">" * 19_000, "- " * 9_000, "[" * 9_000, "![" * 5_000, "*a " * 5_000, "<a " * 5_000])
def test_a_document_made_to_take_long_does_not(report: Path, text: str) -> None:
    report.write_text(f"### Question 1\n> Answer:\n\nyes\n\n{text}\n", encoding="utf-8")
    began = time.process_time()
    assert main(["check", str(report)]) in (0, 1)
    assert main(["html", str(report)]) == 0
    assert time.process_time() - began < 20


def test_an_image_of_many_megabytes_is_refused(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (report.parent / "figures" / "a.png").open("wb") as file:
        file.write(PNG)
        file.truncate(5_000_001)
    assert main(["check", str(report)]) == 1
    assert "5,000,001 bytes, at most 5,000,000 are shown" in capsys.readouterr().out
    assert len(page(report)) < 100_000


def test_a_page_is_written_whole_or_not_at_all_and_never_over_the_document(report: Path) -> None:
    assert main(["html", str(report), "--out", str(report)]) == 2
    assert report.read_text(encoding="utf-8") == GOOD
    assert main(["html", str(report), "--out", str(report.parent / "absent" / "x.html")]) == 2
    page(report)
    assert sorted(path.name for path in report.parent.iterdir()) == ["README.md", "figures", "report.html"]
