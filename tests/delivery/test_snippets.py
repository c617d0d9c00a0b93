"""Every command and snippet of the documentation does what it says. `make test` runs the fast, `make snippets` all."""

import os
import re
from pathlib import Path

import pytest
from snippet_folders import FOLDERS
from snippet_run import Page, missing
from snippets import ROOT, Block, blocks, changed, commands, pages, parsed, start

ALL = os.environ.get("WINDCAST_SNIPPETS") == "all"
EVERY_PAGE = pytest.mark.parametrize("page", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in pages()])


@EVERY_PAGE
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    faults = [f"{block.place}: {fault}" for block in blocks(page) if (fault := block.fault())]
    assert not faults, "\n".join(faults)


@pytest.mark.skipif(os.name == "nt", reason="the documentation's shell is bash")
@EVERY_PAGE
def test_every_block_that_is_run_does_what_the_page_says(page: Path, tmp_path: Path) -> None:
    found = [block for block in blocks(page) if _runs(block)]
    chosen = [block for block in found if ALL or not block.slow]
    if not chosen:
        pytest.skip("every block is slow: make snippets" if found else "nothing to run")
    FOLDERS[start(page)](tmp_path / "page")
    running, left_out = Page(tmp_path / "page"), set()
    try:
        for block in chosen:
            lacking = missing(block)
            left_out |= {f"{block.place} needs {', '.join(lacking)}"} if lacking else set()
            if not lacking:
                running.run(block)
    finally:
        running.stop()
    if left_out:
        pytest.skip(f"the others ran; {'; '.join(sorted(left_out))}")


def _runs(block: Block) -> bool:
    done = block.language in ("bash", "python", "diff") or bool(block.title) or "printed" in block.marks
    return done and "not run" not in block.marks


def one(text: str) -> Block:
    (block,) = parsed(text, "page.md")
    return block


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```\nwindcast demo\n```", "has no language"),
        ("```text\nwindcast demo\n```", "looks like a command"),
        ("```yaml\na: 1\n```", "yaml is not run"),
        ("<!-- not run: no -->\n```bash\nfalse\n```", "give the reason"),
        ("<!-- sloww -->\n```bash\nfalse\n```", "'sloww' is no mark"),
        ("```diff\n+ a\n```", "which file"),
        ("```hcl\na = 1\n```", "hcl is not run"),
    ],
)
def test_a_block_that_nobody_runs_and_nobody_excuses_is_a_fault(text: str, fault: str) -> None:
    assert re.search(fault, one(text).fault() or "")


@pytest.mark.skipif(os.name == "nt", reason="the documentation's shell is bash")
@pytest.mark.parametrize(
    "text",
    [
        "```bash\nfalse\n```",
        '```python\nraise ValueError("no")\n```',
        "<!-- exits: 2 -->\n```bash\ntrue\n```",
        "```bash\nfalse | cat\n```",
        "<!-- printed -->\n```text\nnever said\n```",
        "```bash\nwindcast serve nowhere\n```",
    ],
)
def test_a_block_that_does_not_do_what_it_says_fails(text: str, tmp_path: Path) -> None:
    page = Page(tmp_path)
    with pytest.raises(AssertionError, match=r"page\.md:\d"):
        page.run(one(text))
    page.stop()


def test_a_change_that_does_not_fit_the_file_fails() -> None:
    diff = "@@\n a\n-b\n+c\n"
    assert changed("a\nb\nd\n", diff) == "a\nc\nd\n"
    with pytest.raises(ValueError, match="0 times"):
        changed("a\nd\n", diff)
    with pytest.raises(ValueError, match="2 times"):
        changed("a\nb\na\nb\n", diff)


def test_servers_stand_alone_and_long_lines_stay_whole() -> None:
    text = "echo 1 \\\n  2\nwindcast serve a  # that\ncurl localhost:8000\nmake test\n"
    assert list(commands(text)) == ["echo 1 \\\n  2", "windcast serve a  # that", "curl localhost:8000"]
