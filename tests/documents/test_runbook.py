import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runbookopt.documents.digest import digest
from runbookopt.documents.parse import MalformedFile
from runbookopt.documents.runbook import (
    Locks,
    Runbook,
    bump_version,
    decode,
    hidden_text,
    parse,
    reparse,
    replace,
    template_tokens,
    violations,
)

JETTY = Path(__file__).parents[2] / ".." / "shared/data/formats/jetty"

LOCK, UNLOCK = "<!-- runbookopt: lock -->", "<!-- runbookopt: unlock -->"

SMALL = f"""---
name: triage  # who are we
version: 1.4.9
---
# Triage

Be kind to {{{{customer}}}}.

## Steps

- one
{LOCK}
- two, agreed with legal
{UNLOCK}
- three

## Rubric

Never change this.
"""

PIECES = st.sampled_from(
    [
        *[
            "# One",
            "## Two",
            "## Two",
            "### Three",
            "Title\n-----",
            "Title\n=====",
            "## Rubric",
            "  ## in",
            "    ## code",
        ],
        *[
            "```",
            "~~~",
            "````",
            "- ```",
            "- item",
            "  - more",
            "> ## quoted",
            "<div>",
            "</div>",
            "<!--",
            "-->",
            "<pre>",
        ],
        *[
            "---",
            "...",
            "name: x",
            "version: 1.2.3",
            "{{name}}",
            "${NAME}",
            "$ARGUMENTS",
            "text",
            "",
            " ",
            "\t",
        ],
        *[
            LOCK,
            UNLOCK,
            f"`{LOCK}`",
            "\ufeff",
            "\x00",
            "\x0b",
            "\x0c",
            "\x1c",
            "\x85",
            "\u2028",
            "\u2029",
            "\u200b",
            "é",
            "\U0001f984",
        ],
    ]
)
ENDINGS = st.sampled_from(["\n", "\n\n", "\r\n", "\r", "\r\r\n", ""])
NASTY = st.lists(st.tuples(PIECES, ENDINGS)).map(lambda pairs: "".join(a + b for a, b in pairs)) | st.text()


def accepted(text: str) -> Runbook | None:
    try:
        return parse(text)
    except MalformedFile:
        return None


@given(NASTY)
@example("\ufeff---\r\nname: x\r\n---\r\n## A\r\n")
@example("## A\rtext\u2028## not one\x0c\n```\n## B\n```")
def test_any_text_that_is_accepted_is_rendered_byte_for_byte(text: str) -> None:
    runbook = accepted(text)
    if runbook is not None:
        assert runbook.text == text
        assert runbook.digest == digest(text.encode())
        assert decode(text.encode()) == runbook
        assert len({part.id for part in runbook.parts}) == len(runbook.parts)
        assert violations(runbook, text) == ()


@given(NASTY)
def test_the_lines_of_the_parts_are_the_lines_of_the_file(text: str) -> None:
    runbook = accepted(text)
    if runbook is not None:
        lines = re.findall(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+", text)
        for part in runbook.parts:
            assert part.text == "".join(lines[part.first_line - 1 : part.last_line]) != ""


@given(NASTY, NASTY, st.randoms(use_true_random=False))
def test_an_edit_leaves_every_byte_outside_its_component(text: str, new: str, random: Random) -> None:
    runbook = accepted(text)
    if runbook is None or not runbook.components:
        return
    edited = random.choice(runbook.components)
    place = runbook.parts.index(edited)
    before = "".join(part.text for part in runbook.parts[:place])
    after = "".join(part.text for part in runbook.parts[place + 1 :])
    result = replace(runbook, {edited.id: new})
    assert result.startswith(before)
    assert result.endswith(after)
    assert replace(runbook, {edited.id: edited.text}) == text


@given(NASTY, NASTY, st.randoms(use_true_random=False))
def test_an_edit_without_violations_changes_nothing_but_components(
    text: str, new: str, random: Random
) -> None:
    runbook = accepted(text)
    if runbook is None or not runbook.components:
        return
    edited = random.choice(runbook.components)
    result = replace(runbook, {edited.id: new})
    if not violations(runbook, result):
        after = reparse(runbook, result)
        assert [(part.id, part.heading) for part in after.parts] == [(p.id, p.heading) for p in runbook.parts]
        assert all(part.text == after.part(part.id).text for part in runbook.parts if part.locked)


@given(NASTY)
def test_a_bumped_version_is_the_only_change_in_a_file(text: str) -> None:
    bumped = bump_version(text)
    runbook = accepted(text)
    if runbook is not None:
        assert violations(runbook, bumped, bumped=True) == ()
        assert (bumped != text) == bool(violations(runbook, bumped))


@pytest.mark.parametrize("path", sorted(JETTY.rglob("*.md")), ids=lambda path: str(path.relative_to(JETTY)))
def test_public_runbooks_are_read_with_rubric_and_checklist_locked(path: Path) -> None:
    data = path.read_bytes()
    runbook = decode(data, path=str(path))
    assert runbook.text.encode() == data
    assert len(runbook.parts) > 4
    for part in runbook.parts:
        words = ("rubric", "checklist", "evaluat", "required output files", "validation report", "parameters")
        if any(re.search(rf"\b{word}", (part.heading or "").lower()) for word in words):
            assert part.locked
    assert not any(part.text.startswith("#") and part.heading is None for part in runbook.parts[2:])


def test_the_public_runbooks_are_there() -> None:
    if not JETTY.is_dir():
        pytest.skip("../shared/data is not on this machine")
    assert len(list(JETTY.rglob("*.md"))) >= 6


def test_a_runbook_is_front_matter_preamble_and_sections() -> None:
    runbook = parse(SMALL)
    assert [(p.id, p.heading, p.first_line, p.last_line) for p in runbook.parts] == [
        ("front-matter", None, 1, 4),
        ("preamble", None, 5, 8),
        ("steps", "Steps", 9, 11),
        ("steps-2", "Steps", 12, 14),
        ("steps-3", "Steps", 15, 16),
        ("rubric", "Rubric", 17, 19),
    ]
    assert [part.id for part in runbook.components] == ["preamble", "steps", "steps-3"]
    assert runbook.part("steps-2").locked == "between the lock markers of lines 12 and 14"
    assert runbook.version == "1.4.9"


def test_headings_in_code_quotes_lists_and_html_are_no_headings() -> None:
    text = (
        "## A\n```\n## n\n```\n> ## n\n\n- ## n\n\n<div>\n## n\n</div>\n\n    ## n\n\n<!--\n## n\n-->\n## B\n"
    )
    assert [part.heading for part in parse(text).parts] == ["A", "B"]


def test_underlined_headings_are_headings() -> None:
    assert [p.heading for p in parse("Intro\n=====\n\nFirst *one*\n-----------\ntext\n").parts] == [
        None,
        "First *one*",
    ]


def test_without_sections_the_top_headings_divide() -> None:
    assert [part.id for part in parse("text\n# A\n### a\n# B\n").parts] == ["preamble", "a", "b"]


def test_a_top_heading_ends_the_section_before_it() -> None:
    parts = parse("# T\n## A\ntext\n# Rubric\n5 is best\n## B\n").parts
    assert [(part.id, bool(part.locked)) for part in parts] == [
        ("preamble", False),
        ("a", False),
        ("rubric", True),
        ("b", False),
    ]


def test_ids_are_slugs_and_repeats_are_numbered() -> None:
    text = (
        "## Step 1: `Réfund` & [docs](http://x)\n## Notes\n## Notes 2\n## notes!\n## ???\n## Front matter\n"
    )
    ids = [part.id for part in parse(text).parts]
    assert ids == ["step-1-réfund-docs", "notes", "notes-2", "notes-3", "section", "front-matter-2"]


@pytest.mark.parametrize(
    "heading",
    ["Rubric", "EVAL CONFIG", "Step 4: **Evaluate**", "The `judge`", "_Grading_", "Pass criteria", "Secrets"],
)
def test_a_heading_of_the_verifier_is_locked(heading: str) -> None:
    assert parse(f"## {heading}\n").part(parse(f"## {heading}\n").parts[0].id).locked


@pytest.mark.parametrize("heading", ["Upgrade", "Medieval", "Parameter precedence", "Retrieval", "Criteria"])
def test_a_heading_that_only_resembles_one_is_a_component(heading: str) -> None:
    assert parse(f"## {heading}\n").components


@pytest.mark.parametrize(
    "entry", ["## Escalation  path", "escalation path", "escalation-path", "### ESCALATION PATH"]
)
def test_the_policy_locks_sections_by_heading_or_id(entry: str) -> None:
    runbook = parse("## Steps\n\n## Escalation path\n", locks=Locks((entry,)))
    assert [part.id for part in runbook.components] == ["steps"]


def test_a_lock_that_names_no_section_is_an_error_with_the_nearest() -> None:
    with pytest.raises(
        MalformedFile, match=r'RUNBOOK.md: no section for the lock "## Escalaton".*Escalation'
    ):
        parse("## Escalation\n", locks=Locks(("## Escalaton",)))


def test_the_policy_lifts_the_lock_of_a_heading_s_word() -> None:
    text = "## Checklist\n\n- one\n\n## Secrets\n"
    runbook = parse(text, locks=Locks(unlocked=("## Checklist",)))
    assert [part.id for part in runbook.components] == ["checklist"]
    changed = replace(runbook, {"checklist": "## Checklist\n\n- two"})
    assert violations(runbook, changed) == ()
    assert violations(parse(text), changed) == (
        "locked part 'checklist' is changed (its heading says 'checklist')",
    )
    both = parse(text, locks=Locks(("checklist",), unlocked=()))
    assert both.part("checklist").locked == 'the policy locks "checklist"'


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("## Rubric", "its heading says 'rubric'"),
        ("## Checklist of the evaluation", "its heading says 'evaluation'"),
        ("front-matter", "front matter"),
        ("## Agreed", "between the lock markers"),
        ("## Escalation", "the policy locks"),
        ("## Rubrik", "no section for the unlocking .*did you mean '## Rubric'"),
    ],
)
def test_the_policy_lifts_no_other_lock(entry: str, reason: str) -> None:
    text = "## Rubric\n\n## Checklist of the evaluation\n\n## Escalation\n\n"
    text = f"---\na: 1\n---\n{text}{LOCK}\n\n## Agreed\n{UNLOCK}\n"
    with pytest.raises(MalformedFile, match=reason):
        parse(text, locks=Locks(("## Escalation",), (entry,)))


def test_lock_markers_reach_over_sections_and_take_blank_lines_with_them() -> None:
    runbook = parse(f"## A\ntext\n\n{LOCK}\n\n## B\n\n## C\n{UNLOCK}\n\n## D\n")
    assert [(part.id, bool(part.locked)) for part in runbook.parts] == [
        ("a", False),
        ("a-2", True),
        ("b", True),
        ("c", True),
        ("d", False),
    ]


def test_an_open_lock_reaches_to_the_end_and_says_so() -> None:
    reason = parse(f"## A\n{LOCK}\n## B\n").part("b").locked
    assert reason == "after the lock marker of line 2, which is never unlocked"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"## A\n\n{UNLOCK}\n", "R.md:3: an unlock without a lock before it"),
        (f"{LOCK}\n\n{LOCK}\n", "R.md:3: a lock within the lock of line 1: expected an unlock first"),
        ("<!-- runbookopt: lok -->\n", "R.md:1: expected <!-- runbookopt: lock -->"),
        (f"before {LOCK}\n", "R.md:1: expected <!-- runbookopt: lock -->"),
        ("a\n\n<!--\nrunbookopt: lock -->\n", "R.md:3: expected <!-- runbookopt: lock -->"),
        ("a\n\ud800\n", "R.md:2: U+D800 is half a character"),
    ],
)
def test_what_is_not_understood_is_an_error_with_its_line(text: str, message: str) -> None:
    with pytest.raises(MalformedFile, match=re.escape(message)):
        parse(text, path="R.md")


def test_markers_in_code_are_text() -> None:
    assert parse(f"## A\n```\n{LOCK}\n```\nWrite `{LOCK}` to lock.\n").components[0].id == "a"


def test_bytes_that_are_no_text_are_an_error_with_their_line() -> None:
    with pytest.raises(MalformedFile, match=r"R\.md:2: expected a text in UTF-8"):
        decode(b"## A\n\xff\xfe", path="R.md")


def test_a_rule_at_the_top_is_not_front_matter() -> None:
    assert [part.id for part in parse("---\n\n# Title\n\n---\n\n## A\n").parts] == ["preamble", "a"]
    assert [part.id for part in parse("---\n---\n").parts] == ["front-matter"]


def test_an_edit_keeps_blank_lines_and_line_endings() -> None:
    runbook = parse("\ufeff\r\n## A\r\nold\r\n\r\n## B\r\nend")
    assert replace(runbook, {"a": "## A\nnew"}) == "\ufeff\r\n## A\r\nnew\r\n\r\n## B\r\nend"
    assert replace(runbook, {"b": "\n## B\nfin\n\n"}).endswith("\r\n\r\n## B\r\nfin")


@pytest.mark.parametrize("name", ["rubric", "front-matter", "nowhere"])
def test_what_is_locked_or_unknown_cannot_be_replaced(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        replace(parse(SMALL), {name: "x"})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("version: 1.2.9  # keep", "version: 1.2.10  # keep"),
        ("'version': \"0.0.0\"", "'version': \"0.0.1\""),
        ("# version: 1.2.3\nversion:   1.2.3", "# version: 1.2.3\nversion:   1.2.4"),
        ("metadata:\n  other: 1.2.3\n  version: '1.2.3'", "metadata:\n  other: 1.2.3\n  version: '1.2.4'"),
        ("metadata: {a: b, version: 1.2.3}", "metadata: {a: b, version: 1.2.4}"),
        ("version: draft\nmetadata:\n  version: 1.2.3", "version: draft\nmetadata:\n  version: 1.2.4"),
        ("text: |\n  version: 1.2.3", "text: |\n  version: 1.2.3"),
        ("version: 1.2", "version: 1.2"),
        ("version: v1.2.3", "version: v1.2.3"),
        ("version: 1.2.3\nversion: 1.2.3", "version: 1.2.3\nversion: 1.2.3"),
        ("a: b: c\nversion: 1.2.3", "a: b: c\nversion: 1.2.3"),
    ],
)
def test_the_patch_number_is_raised_in_place(before: str, after: str) -> None:
    body = "\n## A\nversion: 1.2.3\n"
    assert bump_version(f"---\n{before}\n---\n{body}") == f"---\n{after}\n---\n{body}"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Never change this", "Change this", "locked part 'rubric' is changed"),
        ("agreed with legal", "agreed", "locked part 'steps-2' is changed"),
        ("name: triage", "name: other", 'front matter is changed: "name"'),
        ("# who are we", "# obey me", "front matter is changed: its comments or form"),
        ("1.4.9", "1.4.10", 'front matter is changed: "version"'),
        ("---\n# Triage", "tools: [bash]\n---\n# Triage", 'front matter is changed: "tools"'),
        ("- three", "- three\n\n## More", "part 'more' is new"),
        ("## Rubric\n", "", "part 'rubric' is gone"),
        ("## Steps", "## Stages", "part 'steps' is renamed 'stages'"),
        ("## Steps", "## steps", "part 'steps' has another heading: \"steps\""),
        ("- three", "```", "part 'rubric' is gone"),
        ("# Triage", f"{LOCK}\n# Triage\n{UNLOCK}", "part 'preamble' is locked by the edit"),
        ("- three", UNLOCK, "the runbook cannot be read: an unlock without a lock"),
        ("{{customer}}", "them", 'template token "{{customer}}" is lost'),
        ("- three", "- $ARGUMENTS", 'template token "$ARGUMENTS" is new'),
        ("- three", "- th\u200bree", "U+200B ZERO WIDTH SPACE at line 15"),
        ("- three", "- \u202eeerht", "U+202E RIGHT-TO-LEFT OVERRIDE at line 15"),
        ("- three", "- three <!-- and more -->", "hidden text is brought in: hidden markup"),
    ],
)
def test_a_violation_is_named(old: str, new: str, words: str) -> None:
    runbook = parse(SMALL)
    assert SMALL.count(old) == 1
    assert words in "\n".join(violations(runbook, SMALL.replace(old, new)))


def test_parts_in_another_order_are_a_violation() -> None:
    before = parse("## A\n\n## B\n\n## C\n")
    assert violations(before, parse("## B\n\n## A\n\n## C\n")) == ("the parts are in another order",)


def test_an_edit_of_a_component_and_the_bump_of_its_version_are_no_violation() -> None:
    runbook = parse(SMALL)
    edited = bump_version(SMALL.replace("- three", "- four"))
    assert violations(runbook, edited, bumped=True) == ()
    assert violations(runbook, edited.replace("1.4.10", "1.4.11"), bumped=True)


@pytest.mark.parametrize(
    "text",
    [
        *[
            "a\u00adb",
            "a\u2066b",
            "a\x1bb",
            "a\x00b",
            "tag \U000e0041\U000e0042",
            "vs a\ufe01",
            "\u3164",
            "a\u2028b",
        ],
        *[
            "<!-- x -->",
            "a <!-- open",
            "[//]: # (obey)",
            "[x]: <> (obey)",
            "<p hidden>x</p>",
            '<i style="display: none">',
        ],
    ],
)
def test_hidden_text_is_found_with_its_line(text: str) -> None:
    (found,) = hidden_text(f"one\r\ntwo\rthree\n{text}\n")
    assert found.endswith(" at line 4")


@pytest.mark.parametrize(
    "text",
    [
        *[
            "\ufeffmark",
            "⚠\ufe0f",
            "1\ufe0f",
            "👩\u200d💻",
            "❤\ufe0f\u200d🔥",
            "\u0645\u06cc\u200c\u062e\u0648",
            "tab\tand\u00a0space",
        ],
        *["```html\n<!-- shown -->\n```\n", f"{LOCK}\nx\n{UNLOCK}\n", "[docs]: #anchor", "a < b hidden"],
    ],
)
def test_what_is_seen_or_needed_is_not_hidden(text: str) -> None:
    assert hidden_text(text) == ()


def test_template_tokens_are_a_set() -> None:
    text = "{{ name }} {{name}} ${HOME} $ARGUMENTS $ARGUMENTSX ${HOME:-x} {{#if x}} {{\n}}"
    assert template_tokens(text) == {"{{name}}", "${HOME}", "$ARGUMENTS", "{{#ifx}}"}


def test_what_stands_in_fences_is_an_example_and_no_token() -> None:
    text = "Ask {{name}}.\n\n```yaml\nkey: ${TOKEN}\n```\n\n- in a list\n\n  ~~~\n  {{x}}\n  ~~~\n"
    text += "\n# Next\n\n    {{indented}}\n"
    assert template_tokens(text) == {"{{name}}", "{{indented}}"}
    runbook = parse(text)
    assert violations(runbook, text.replace("${TOKEN}", "1")) == ()
    hidden = text.replace("Ask {{name}}.", "```\nAsk {{name}}.\n```")
    assert violations(runbook, hidden) == ('template token "{{name}}" is lost',)
    shown = text.replace("```yaml\nkey: ${TOKEN}\n```", "key: ${TOKEN}")
    assert violations(runbook, shown) == ('template token "${TOKEN}" is new',)
