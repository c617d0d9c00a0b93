"""Rules of a report's questions are read however they are written, and words are counted as the manual says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reports.reporting.markup import parser, prose
from reports.reporting.rules import IMAGES, WORDS, Rule, RuleError, requests_of_text, rules_of_line

SMALL = st.integers(0, 5000)


def words(text: str) -> tuple[str, ...]:
    return prose(parser().parse(text)).words


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("Answer length: 100-200 words", [Rule(WORDS, 100, 200)]),
        ("**Recommended answer length: 50–100 words.**", [Rule(WORDS, 50, 100)]),
        ("*Answer length: 100 to 200 words + 1 image*", [Rule(WORDS, 100, 200), Rule(IMAGES, 1, 1)]),
        ("answer length: between 50 and 100 words and up to two figures", [Rule(WORDS, 50, 100), Rule(IMAGES, 0, 2)]),
        ("Answer length: 50 words", [Rule(WORDS, 45, 55, target=50)]),
        ("Answer length: about 50 words", [Rule(WORDS, 45, 55, target=50)]),
        ("Answer length: exactly 50 words", [Rule(WORDS, 50, 50)]),
        ("Answer length: 200", [Rule(WORDS, 180, 220, target=200)]),
        ("*no more than 200 words*", [Rule(WORDS, 0, 200)]),
        ("(at most 1,500 words)", [Rule(WORDS, 0, 1500)]),
        ("Maximum length: 300 words", [Rule(WORDS, 0, 300)]),
        ("Answer length: 200 words max", [Rule(WORDS, 0, 200)]),
        ("Word limit: fewer than 100 words", [Rule(WORDS, 0, 99)]),
        ("at least 50 words", [Rule(WORDS, 50, None)]),
        ("50+ words", [Rule(WORDS, 50, None)]),
        ("__1-2 images__", [Rule(IMAGES, 1, 2)]),
        ("one or two screenshots", [Rule(IMAGES, 1, 2)]),
        ("1 image", [Rule(IMAGES, 1, 1)]),
        ("Images: 1-3", [Rule(IMAGES, 1, 3)]),
        ("no images", [Rule(IMAGES, 0, 0)]),
        ("**Why so? Answer length: 10-20 words**", [Rule(WORDS, 10, 20)]),
        ("Answer length: 10-20 words (without code)", [Rule(WORDS, 10, 20)]),
        ("We used 3 images in our project.", []),
        ("What are images?", []),
        ("", []),
    ],
)
def test_a_rule_is_read_however_it_is_written_and_a_sentence_is_no_rule(line: str, rules: list[Rule]) -> None:
    assert list(rules_of_line(line)) == rules


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("Answer length: some words", "no number"),
        ("Answer length:", "says no number"),
        ("Answer length: 200-100 words", "from 200 down to 100"),
        ("*200-100 words*", "from 200 down to 100"),
        ("Answer length: 2 pages", "no number of words"),
        ("Answer length: 100-200 words or 1 image", "not understood"),
        ("Answer length: 10-20 words, 30 words", "twice"),
        ("Answer length: 3 or 9 words", "no range"),
    ],
)
def test_a_line_that_sets_out_to_be_a_rule_and_is_none_is_never_guessed(line: str, why: str) -> None:
    with pytest.raises(RuleError, match=why):
        rules_of_line(line)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Insert 1-2 images of your bucket.", Rule(IMAGES, 1, 2)),
        ("Upload 1 to 3 screenshots that show\nthe runs", Rule(IMAGES, 1, 3)),
        ("You may include 1 to 3 plots.", Rule(IMAGES, 0, 3)),
        ("Include a figure that shows the whole.", Rule(IMAGES, 1, None)),
        ("Add one architecture diagram.", Rule(IMAGES, 1, 1)),
    ],
)
def test_images_that_a_question_asks_for_in_a_sentence_are_a_rule(text: str, rule: Rule) -> None:
    assert [found for _, found in requests_of_text(text)] == [rule]


@given(
    SMALL, SMALL, st.sampled_from(["{}-{} words", "{} to {} words", "between {} and {} words", "from {} – {} words"])
)
def test_every_range_is_kept_by_exactly_the_counts_between_its_ends(one: int, other: int, form: str) -> None:
    low, high = sorted((one, other))
    (rule,) = rules_of_line("*Answer length: " + form.format(low, high) + "*")
    assert [rule.holds(count) for count in (low - 1, low, high, high + 1)] == [False, True, True, False]


@settings(max_examples=40)
@given(st.text(max_size=60))
def test_no_line_breaks_the_reader_of_rules(line: str) -> None:
    for text in (line, f"Answer length: {line}", f"Answer length: 1{line}"):
        try:
            for rule in rules_of_line(text):
                assert rule.least >= 0
                assert rule.most is None or rule.most >= rule.least or rule.target is not None
        except RuleError:
            pass


@given(st.lists(st.from_regex(r"[a-zA-Z]{1,9}", fullmatch=True), max_size=40))
def test_plain_words_are_counted_one_by_one_however_they_are_laid_out(said: list[str]) -> None:
    for layout in (" ".join(said), "\n".join(said), "\n\n".join(said), "".join(f"- {word}\n" for word in said)):
        assert words(layout) == tuple(said)


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_no_text_breaks_the_counting_and_code_blocks_around_it_count_nothing(text: str) -> None:
    assert all(any(map(str.isalnum, word)) for word in words(text))
    assert words("~~~~~~~~\n" + text.replace("~", "") + "\n~~~~~~~~\n") == ()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("one two", 2),
        ("well-known – and so", 3),
        ("97 % of `pip install x`", 5),
        ("a [link of four words](https://example.com/not/this 'nor this')", 5),
        ("<https://example.com/one>", 1),
        ("**bo**ld", 1),
        ("![a picture of it](figures/a.png 'with a caption') seen", 1),
        ("```python\nnot = this\n```\nyes", 1),
        ("    not this either\n\nyes", 1),
        ("| a | b |\n|---|---|\n| c d | e |", 5),
        ("> quoted words", 2),
        ("# A heading", 2),
        ("1. first\n2. second", 2),
        ("<!-- not this --> yes", 1),
        ("<b>bold</b> <img src=x.png alt='no'> yes", 2),
        ("<script>\nnot this\n</script>", 0),
        ("…", 0),
    ],
)
def test_words_are_counted_as_the_manual_says(text: str, count: int) -> None:
    assert len(words(text)) == count
