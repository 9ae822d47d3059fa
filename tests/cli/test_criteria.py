"""Criteria that are suggested from labels, and failure modes that people name."""

import json
import random
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from runbookopt.calibration.record import read_record
from runbookopt.evidence.library import Folder
from runbookopt.project.project import read_project
from tests.cli.conftest import KEY
from tests.conftest import Clone, Files, Ran
from tests.replier import Replier

Make = Callable[[Files], Clone]

RECORD = "runbooks/desk/calibration.json"
LABELS = "trajectories/desk/ana.labels.jsonl"
RUBRIC = """\
# kept as it is
criteria:
  - id: answers
    statement: The letter answers what was asked.
    check: {kind: equals, path: $.queue, reference: $.queue}
judge: {model: openai/judge, allow_self_judge: true} # and this too
"""
POLICY = "merge: review\nreviewers: [lena]\nproof: {margin: 0}\n"
RUNBOOK = "# Desk\n\n## Rules\n\n- Answer `post`.\n\n## More\n\nBe kind.\n"
PROMISE, MOOD, RARE = "Promises a date", "misses the mood", "rare"
KEY_OF_PROMISE = "promises-a-date"
SENTENCE = "thanks for writing we look into it and the team that knows will write to you once more"
WORDS = SENTENCE.split()


def letter(number: int) -> str:
    """Give an output: a third of them promise a date; what misses the mood is not to be seen in it."""
    words = " ".join(random.Random(number).choices(WORDS, k=9))
    return json.dumps({"queue": "post", "reason": f"{words} by Friday" if number % 3 == 0 else words})


def mode_of(number: int) -> str | None:
    if number in {1, 4}:
        return RARE
    return PROMISE if number % 3 == 0 else MOOD if number % 3 == 1 else None


def trajectory(number: int) -> dict[str, Any]:
    mood = "ANGRY" if number % 3 == 1 else "calm"
    part = "held-out" if number % 10 == 9 else "train"
    task = {"input": f"{mood} letter {number} {part}", "reference": {"queue": "post"}, "split": part}
    return {"id": f"t-{number}", "task": task, "output": letter(number)}


def label(number: int, **more: object) -> dict[str, Any]:
    mode = mode_of(number)
    said = {"failure_mode": mode, "explanation": f"it {mode}, says letter {number}"} if mode else {}
    return {
        "trajectory": f"t-{number}",
        "criterion": "overall" if mode else "answers",
        "result": "fail" if mode else "pass",
        "by": "ana",
        "at": "2026-11-01T09:00:00Z",
        "split": "examples" if number % 4 == 1 else "test",
        **said,
        **more,
    }


def lines(records: list[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(record)}\n" for record in records)


def files(count: int = 90, **more: str) -> Files:
    return {
        "runbooks/desk/RUNBOOK.md": RUNBOOK,
        "runbooks/desk/rubric.yaml": RUBRIC,
        "runbooks/desk/policy.yaml": POLICY,
        "trajectories/desk/old.jsonl": lines([trajectory(number) for number in range(count)]),
        LABELS: lines([label(number) for number in range(count)]),
        **more,
    }


def suggested(ran: Ran) -> dict[str, Any]:
    assert ran.returncode == 0, ran
    card: dict[str, Any] = json.loads(ran.stdout)
    card["suggested"] = {each["mode"]: each for each in card["suggested"]}
    return card


def suggest(clone: Clone, *flags: str, **environ: str) -> dict[str, Any]:
    return suggested(
        clone.ask("runbookopt", "criteria", "suggest", "desk", "--json", *flags, environ=environ)
    )


def test_a_rule_that_held_out_labels_bear_out_is_offered_as_a_patch_and_coverage_rises(repo: Make) -> None:
    card = suggest(repo(files()))
    promise = card["suggested"][PROMISE]
    assert promise["outcome"] == "offered"
    assert promise["criterion"]["check"] == {"kind": "not_contains", "path": "$.reason", "value": "by Friday"}
    (rule,) = promise["candidates"]
    assert (rule["status"], rule["figures"]["table"]["tn"], rule["figures"]["table"]["fp"]) == (
        "gates",
        23,
        0,
    )
    assert card["coverage"] == {"count": 0, "volume": 0}
    assert card["coverage_after"]["count"] == pytest.approx(1 / 3)
    assert "+  - id: promises-a-date" in card["patch"]
    assert not [line for line in card["patch"].splitlines() if line.startswith("-") and line[:3] != "---"]


def calibrated(clone: Clone, *flags: str) -> dict[str, Any]:
    found = json.loads(clone.run("runbookopt", "calibrate", "desk", "--json", *flags).stdout)
    return {each["criterion"]: each for each in found["criteria"]}[KEY_OF_PROMISE]


def patched(clone: Clone, card: dict[str, Any]) -> None:
    """Add what is offered to the rubric."""
    clone.write({"offered.diff": f"{card['patch']}\n"})
    clone.git("apply", "offered.diff")


def test_a_suggestion_is_a_look_that_calibrate_takes_over_and_nobody_takes_twice(repo: Make) -> None:
    clone = repo(files())
    card = suggest(clone)
    written = (clone.root / RECORD).read_bytes()
    record = read_record(written, RECORD)
    assert (record.criteria, KEY_OF_PROMISE in record.suggested) == ({}, True)
    assert not read_project(Folder(clone.root), "desk").is_calibrated  # it decides nothing yet
    assert any(f"as {RECORD} says: commit it" in note for note in card["notes"])
    again = suggest(clone)
    assert again["suggested"] == card["suggested"]
    assert (clone.root / RECORD).read_bytes() == written
    patched(clone, card)
    taken = calibrated(clone)
    assert (taken["status"], taken["record"]["looks"], taken["record"]["level"]) == ("gates", 1, 0.01)
    read = read_project(Folder(clone.root), "desk")
    assert KEY_OF_PROMISE in {each.id for each in read.rubric.deciding}


def test_another_criterion_than_was_suggested_finds_its_labels_spent(repo: Make) -> None:
    clone = repo(files())
    card = suggest(clone)
    clone.commit({RECORD: (clone.root / RECORD).read_text()}, "Looks")
    patched(clone, card)
    rubric = (clone.root / "runbooks/desk/rubric.yaml").read_text()
    clone.write({"runbooks/desk/rubric.yaml": rubric.replace("value: by Friday", "value: Friday")})
    (clone.root / RECORD).unlink()
    found = calibrated(clone)
    assert (found["status"], found["record"]) == ("uncalibrated", None)
    assert found["lacks"]["spent"] > 30
    priced = calibrated(clone, "--spend-labels")
    assert (priced["record"]["level"], priced["record"]["looks"]) == (0.005, 2)


def test_what_cannot_be_told_from_outputs_is_refused_with_its_figures(repo: Make) -> None:
    clone = repo(files())
    refused = suggest(clone)["suggested"]
    assert {refused[MOOD]["outcome"], refused[RARE]["outcome"]} == {"refused"}
    assert all(each["status"] != "gates" for each in refused[MOOD]["candidates"])
    assert "too few labels: about 20 more that show it and 0 that do not" in refused[RARE]["reason"]
    page = clone.ask("runbookopt", "criteria", "suggest", "desk").stdout
    assert f"{MOOD}: refused" in page
    assert "MCC" in page


def test_no_rule_is_made_of_labels_that_it_is_held_against(repo: Make) -> None:
    clone = repo(files())
    before = suggest(clone)["suggested"][PROMISE]["candidates"][0]
    other = [
        {**trajectory(number), "output": letter(number).replace("by Friday", "next week")}
        if number % 4 != 1
        else trajectory(number)
        for number in range(90)
    ]
    clone.write({"trajectories/desk/old.jsonl": lines(other)})
    after = suggest(clone)["suggested"][PROMISE]["candidates"][0]
    assert after["criterion"]["check"] == before["criterion"]["check"]
    assert (before["status"], after["status"]) == ("gates", "rejected")


def test_labels_on_which_raters_disagree_count_for_neither_side(repo: Make) -> None:
    ben = [{**label(number), "by": "ben", "result": "pass"} for number in range(0, 60, 3)]
    for each in ben:
        del each["failure_mode"], each["explanation"]
    card = suggest(repo(files(**{"trajectories/desk/ben.labels.jsonl": lines(ben)})))
    assert card["suggested"][PROMISE]["labels"] == {"failures": 10, "passes": 60, "disputed": 20}
    assert card["suggested"][PROMISE]["outcome"] == "refused"


def test_a_pull_request_adds_criteria_touches_nothing_else_and_waits_for_people(repo: Make) -> None:
    clone = repo(files())
    propose = ("criteria", "suggest", "desk", "--propose", "--json")
    ran = clone.run("runbookopt", *propose)
    card = suggested(ran)
    assert card["proposed"]["pull_request"]["number"] == 1
    branch = card["proposed"]["branch"]
    assert branch == "runbookopt-criteria/desk"
    assert clone.at_origin("diff", "--name-only", "main", branch) == "runbooks/desk/rubric.yaml"
    again = suggested(clone.run("runbookopt", *propose))
    assert (again["proposed"]["pull_request"], again["proposed"]["note"]) == (
        None,
        "pull request 1 proposes this already",
    )
    assert "no open pull requests" in clone.ask("runbookopt", "pulls", "merge", "--auto").stdout
    refused = clone.ask("runbookopt", "pulls", "merge", "1")
    assert (refused.returncode, "0 of 1 approval(s) of lena" in refused.stderr) == (3, True)
    lena = clone.again("lena", "lena")
    assert lena.ask("runbookopt", "pulls", "approve", "1").returncode == 0
    assert lena.ask("runbookopt", "pulls", "merge", "1").returncode == 0
    lena.git("pull", "-q")
    assert "id: promises-a-date" in (lena.root / "runbooks/desk/rubric.yaml").read_text()
    calibrated = json.loads(lena.ask("runbookopt", "calibrate", "desk", "--json").stdout)
    statuses = {each["criterion"]: each["status"] for each in calibrated["criteria"]}
    assert statuses == {"answers": "exempt", "promises-a-date": "gates"}
    assert suggest(lena)["coverage"]["count"] == pytest.approx(1 / 3)


def test_a_branch_that_a_person_edited_is_left_alone(repo: Make) -> None:
    clone = repo(files())
    clone.run("runbookopt", "criteria", "suggest", "desk", "--propose")
    clone.git("fetch", "-q", "origin", "runbookopt-criteria/desk")
    clone.git("checkout", "-q", "FETCH_HEAD")
    clone.write(
        {"runbooks/desk/rubric.yaml": (clone.root / "runbooks/desk/rubric.yaml").read_text() + "# mine\n"}
    )
    clone.git("commit", "-qam", "Mine")
    clone.git("push", "-q", "origin", "HEAD:refs/heads/runbookopt-criteria/desk")
    clone.git("checkout", "-q", "main")
    ran = clone.run("runbookopt", "criteria", "suggest", "desk", "--propose")
    assert "which somebody else pushed: it is left alone" in ran.stdout


def test_a_rubric_that_is_not_pushed_is_not_proposed_to(repo: Make) -> None:
    clone = repo(files())
    clone.write({"runbooks/desk/rubric.yaml": RUBRIC + "# more\n"})
    ran = clone.run("runbookopt", "criteria", "suggest", "desk", "--propose")
    assert ran.returncode == 1
    assert "other than on the default branch: commit and push it" in ran.stderr


# Questions for a judge ----------------------------------------------------------------------------------


MODEL = ("--by", "model", "--reflector-kind", "model", "--reflector", "openai/reflector")


def at(clone: Clone, server: Any) -> dict[str, str]:  # noqa: ANN401 - of tests/openai_server.py
    """Say where the models are, and give the environment with their key."""
    judge = RUBRIC.replace("openai/judge,", f"openai/judge, api_base: '{server.url}',")
    settings = f"defaults: {{reflector: {{api_base: '{server.url}'}}}}\n"
    clone.commit({"runbooks/desk/rubric.yaml": judge, "runbookopt.yaml": settings})
    return {"OPENAI_API_KEY": KEY}


def pair(request: dict[str, Any]) -> str:
    """Answer as a reflector that sees the mood, and as a judge that answers its question."""
    system, user = (request["messages"][at]["content"] for at in (0, -1))
    if "You write one question" in system:
        code = user.rpartition("=== ")[2].split()[0]
        said = (("question", "Is the letter ANGRY?"), ("statement", "It meets the mood."))
        return "".join(f"=== {code} {name}\n{text}\n" for name, text in said) + f"=== {code} end"
    if "You sort notes" in system:
        code = user.rpartition("=== ")[2].split()[0]
        return f"=== {code} group\nlate letters: 1, 2, 3\n=== {code} end"
    verdict = (
        "met" if "Is the letter ANGRY?" in user and "ANGRY letter" in user.split("<task")[1] else "not_met"
    )
    return json.dumps({"critique": "As the task says.", "verdict": verdict})


def test_a_reflector_writes_a_question_and_the_judge_is_held_against_the_labels(
    repo: Make, openai_server: ModuleType
) -> None:
    clone = repo(files())
    with openai_server.Server(pair) as server:
        told = at(clone, server)
        flags = ("--reflector-kind", "model", "--reflector", "openai/reflector")
        mood = suggest(clone, *flags, **told)["suggested"][MOOD]
        heard = len(server.heard)
        suggest(clone, *flags, **told)
        assert len(server.heard) == heard  # all of it is in the journal
    assert (mood["outcome"], mood["criterion"]["judge"]) == ("offered", "Is the letter ANGRY?")
    assert mood["criterion"].get("pass_if") == "not_met"
    written = [each for each in server.heard if "You write one question" in each.said("system")]
    assert len(written) == 2
    assert not any("held-out" in each.said("user") for each in written)


def test_a_question_may_be_written_by_hand_off(repo: Make, openai_server: ModuleType) -> None:
    clone = repo(files())
    replier = Replier(clone.root, "desk", pair)
    with openai_server.Server(pair) as server:
        told = at(clone, server)
        flags = ("--reflector-kind", "handoff", "--json")
        ran = clone.ask("runbookopt", "criteria", "suggest", "desk", *flags, environ=told)
        assert (ran.returncode, ran.stdout) == (4, "")
        assert "replies are awaited" in ran.stderr
        assert replier.answer_all() == 2
        ran = clone.ask("runbookopt", "criteria", "suggest", "desk", *flags, environ=told)
    assert suggested(ran)["suggested"][MOOD]["outcome"] == "offered"


# Failure modes ------------------------------------------------------------------------------------------


def lines_of(clone: Clone, login: str) -> list[dict[str, Any]]:
    text = (clone.root / f"trajectories/desk/{login}.labels.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def unnamed_files() -> Files:
    notes = [
        "the date is not kept",
        "a date that we cannot keep",
        "wrong tone, far too curt",
        "curt tone again",
    ]
    more = [
        {**label(number), "failure_mode": None, "explanation": notes[number % 4]}
        for number in (0, 4, 1, 5, 2, 6, 3, 7)
    ]
    kept = [label(number) for number in range(12, 60)]
    told = [{**each, "result": "fail", "criterion": "overall"} for each in more]
    return {**files(60), LABELS: lines([*kept, *told])}


def modes(clone: Clone, *flags: str, **environ: str) -> dict[str, Any]:
    ran = clone.ask("runbookopt", "modes", "desk", "--json", *flags, environ=environ)
    assert ran.returncode == 0, ran
    card: dict[str, Any] = json.loads(ran.stdout)
    return card


def test_modes_are_counted_and_what_nobody_has_named_is_estimated(repo: Make) -> None:
    pytest.importorskip("sklearn", reason="the extra [modes] is not installed")
    card = modes(repo(files()))
    counts = {mode["name"]: (mode["failures"], mode["enough"]) for mode in card["modes"]}
    assert counts == {PROMISE: (30, True), MOOD: (28, True), RARE: (2, False)}
    assert "about 0 % of failures are of kinds nobody has named" in card["unseen_sentence"]


def test_modes_are_counted_without_the_extra_too_and_it_is_named_once(
    repo: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)  # as if it were not installed
    ran = repo(unnamed_files()).ask("runbookopt", "modes", "desk", "--json")
    card = json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr.count("pip install 'runbookopt[modes]'")) == (0, 1)
    assert (card["unnamed"], len(card["modes"]), card["groups"]) == (8, 2, [])
    assert card["not_grouped"] in ran.stderr


def test_a_person_names_a_group_and_the_labels_say_so(repo: Make) -> None:
    pytest.importorskip("sklearn", reason="the extra [modes] is not installed")
    clone = repo(unnamed_files())
    card = modes(clone)
    assert card["unnamed"] == 8
    texts = [{note["text"] for note in group["notes"]} for group in card["groups"]]
    assert {"wrong tone, far too curt", "curt tone again"} in texts
    group = card["groups"][texts.index({"wrong tone, far too curt", "curt tone again"})]
    assert [each["id"] for each in modes(clone)["groups"]] == [each["id"] for each in card["groups"]]
    clone.git("config", "runbookopt.login", "lena")
    named = modes(clone, "--name", f"{group['id']}=Curt tone")
    assert named["named"] == {"Curt tone": 4}
    after = modes(clone)
    assert (after["unnamed"], {mode["name"]: mode["failures"] for mode in after["modes"]}["Curt tone"]) == (
        4,
        4,
    )
    written = lines_of(clone, "lena")
    assert {(each["by"], each["result"], "supersedes" in each) for each in written} == {("ana", "fail", True)}
    gone = clone.ask("runbookopt", "modes", "desk", "--name", f"{group['id']}=Other")
    assert (gone.returncode, "groups are made anew" in gone.stderr) == (1, True)


def test_a_model_groups_what_has_no_name(repo: Make, openai_server: ModuleType) -> None:
    clone = repo(unnamed_files())
    with openai_server.Server(pair) as server:
        told = at(clone, server)
        card = modes(
            clone, "--by", "model", "--reflector-kind", "model", "--reflector", "openai/reflector", **told
        )
    (group,) = card["groups"]
    assert (group["name"], len(group["notes"]), card["alone"]) == ("late letters", 3, 5)


def test_a_failure_that_nobody_labelled_is_named_by_who_has_seen_its_verdict(
    repo: Make, openai_server: ModuleType
) -> None:
    wrong = [{**trajectory(number), "output": '{"queue": "front"}'} for number in range(70, 74)]
    clone = repo(
        files(**{"trajectories/desk/new.jsonl": lines([{**each, "id": f"n-{each['id']}"} for each in wrong])})
    )
    clone.git("config", "runbookopt.login", "lena")
    with openai_server.Server(pair) as server:
        told = at(clone, server)
        (group,) = modes(clone, *MODEL, **told)["groups"]
        assert modes(clone, *MODEL, "--name", f"{group['id']}=wrong desk", **told)["named"] == {
            "wrong desk": 3
        }
    written = lines_of(clone, "lena")
    assert {(each["by"], each["criterion"], each["saw_verdict"]) for each in written} == {
        ("lena", "answers", True)
    }


@pytest.mark.parametrize("given", ["no sign", "abc=", "zzzzzz=name"])
def test_a_name_that_names_nothing_is_an_error_that_says_what_to_do(repo: Make, given: str) -> None:
    pytest.importorskip("sklearn", reason="the extra [modes] is not installed")
    ran = repo(unnamed_files()).ask("runbookopt", "modes", "desk", "--name", given)
    assert ran.returncode in {1, 2}
    assert "--name:" in ran.stderr or "say who you are" in ran.stderr
    assert "Traceback" not in ran.stderr
