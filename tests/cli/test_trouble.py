"""Trouble of a provider by command line: no score, nothing settled, the reason said, and the way on."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from runbookopt.forge.git.repository import Repository
from runbookopt.proof.ledger import Ledger
from tests.cli.conftest import SETTINGS

if TYPE_CHECKING:
    from runbookopt.landing.bundle import Bundle
    from runbookopt.proof.allowance import Look
    from tests.cli.conftest import Done, Modelled, Modelling
    from tests.conftest import Clone, Ran

SAID = {
    "out_of_credit": "gives no credit any more: add some, or set another OPENAI_API_KEY (Your credit",
    "no_credit": "gives no credit any more",
    "unauthorized": "does not accept the key: set OPENAI_API_KEY",
    "server": "server: The server had an error",
    "cut": "connect",
    "rate_limited": "rate_limited: Rate limit reached",
}
PHASES = ("seed", "train", "validation", "proof", "judge", "reflector")
DAILY = {("proof", "server")}
HASTY = "    attempts: 1\n    patience_seconds: 0\n"
"""Settings of an agent that gives up at once."""


def number(body: Mapping[str, Any]) -> int:
    """Give the number of the task that a request is about: tests/planted.py has the parts in turn."""
    return int(re.findall(r"number (\d+) please", body["messages"][-1]["content"])[-1])


def outage(phase: str, kind: str, *, after: int) -> Callable[[Mapping[str, Any]], str | None]:
    """Give an outage that begins when so many requests of a phase were heard, and then meets all of them."""
    heard: Counter[str] = Counter()

    def met(body: Mapping[str, Any]) -> str | None:
        if body["model"] != (phase if phase in {"judge", "reflector"} else "agent"):
            return kind if heard[phase] > after else None
        if phase not in {"judge", "reflector"}:
            seed = "post" not in body["messages"][0]["content"]
            parts = {"train": range(24), "validation": range(24, 48), "proof": range(48, 200)}
            of_phase = number(body) in parts["validation" if phase == "seed" else phase]
            of_phase &= phase not in {"seed", "validation"} or seed == (phase == "seed")
            heard[phase] += of_phase
        else:
            heard[phase] += 1
        return kind if heard[phase] > after else None

    return met


def looks(clone: "Clone") -> "tuple[Look, ...]":
    with Repository.open(clone.root) as repository:
        return tuple(Ledger.open(repository, push=False, fetch=True).looks("desk"))


def proved(bundle: "Bundle") -> bytes:
    """Give all of a bundle that must not hang on what went wrong meanwhile."""
    told = msgspec.to_builtins(bundle)
    for name in ("spent", "digest", "digests", "base", "run", "look", "agent", "settings", "reflected_on"):
        del told[name]  # what it cost, and what hangs on where its server was
    return re.sub(rb'"r-[0-9a-f]{12}"', b'"r"', msgspec.json.encode(told))


def invalid(ran: "Ran") -> dict[str, Any]:
    """Expect a run without a result, and give the object that it printed."""
    assert ran.returncode == 1, ran
    found: dict[str, Any] = json.loads(ran.stdout)
    assert (found["outcome"], found["decision"]["merge"]) == ("invalid", "none")
    assert ran.stderr.count("\n") == 1
    assert ran.stderr.startswith("desk: invalid, so nothing is decided: ")
    (reason,) = found["decision"]["reasons"]
    assert reason.removeprefix("note: invalid: ") in ran.stderr
    assert "the same command goes on from there" in ran.stderr
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "kind"),
    [
        pytest.param(phase, kind, marks=() if (phase, kind) in DAILY else pytest.mark.nightly)
        for phase in PHASES
        for kind in SAID
    ],
)
def test_an_outage_decides_nothing_and_the_same_command_later_ends_as_an_undisturbed_run(
    modelling: "Modelling", faultless: "Done", phase: str, kind: str
) -> None:
    hasty = "    deterministic: true\n" + HASTY
    settings = SETTINGS.replace("    deterministic: true\n", hasty).replace(
        "reflector: {", "reflector: {attempts: 1, patience_seconds: 0, "
    )
    modelled = modelling(settings=settings)
    modelled.server.outage = outage(phase, kind, after=3 if phase != "reflector" else 0)
    found = invalid(modelled.run("--json"))
    assert SAID[kind] in found["decision"]["reasons"][0]
    registered = looks(modelled.clone)
    assert [look.bundle for look in registered] == [None] * (phase == "proof")
    assert found["held_out"]["look"] == (1 if phase == "proof" else None)
    assert "refs/heads/runbookopt" not in modelled.clone.at_origin("for-each-ref")
    modelled.server.outage = None
    again = modelled.found()
    assert "." not in again["run"]
    assert proved(modelled.bundle(again)) == proved(faultless.modelled.bundle(faultless.found))
    assert (again["pull_request"]["number"], [look.answer for look in looks(modelled.clone)]) == (
        1,
        ["accepted"],
    )
    assert [look.key for look in looks(modelled.clone)][: len(registered)] == [
        look.key for look in registered
    ]
    assert modelled.paid_twice() == 0


@pytest.mark.slow
def test_credit_that_ends_midway_is_no_score_of_an_evaluation(modelling: "Modelling") -> None:
    modelled = modelling()
    modelled.server.outage = outage("seed", "out_of_credit", after=6)
    ran = evaluated(modelled, "--json")
    found = json.loads(ran.stdout)
    assert (ran.returncode, found["outcome"], found["score"]) == (1, "invalid", None)
    assert SAID["out_of_credit"] in found["reason"]
    assert found["reason"] in ran.stderr
    assert found["spent"]["rollouts"] >= 6
    assert modelled.clone.ask("runbookopt", "evaluate", "desk").returncode == 1
    modelled.server.outage = None
    found = json.loads(evaluated(modelled, "--json").stdout)
    assert (found["outcome"], found["score"], found["unanswered"]) == ("scored", 0.25, 0)
    paid = Counter(each.digest for each in modelled.server.heard if each.status == 200)
    assert set(paid.values()) == {1}


def evaluated(modelled: "Modelled", *flags: str) -> "Ran":
    return modelled.clone.ask("runbookopt", "evaluate", "desk", *flags, environ={"OPENAI_API_KEY": "k"})


@pytest.mark.slow
@pytest.mark.parametrize("role", ["agent", "reflector", "judge"])
def test_first_replies_that_are_all_cut_end_the_run_with_the_setting_to_raise(
    modelling: "Modelling", role: str
) -> None:
    modelled = modelling()
    modelled.server.outage = lambda body: "truncated" if body["model"] == role else None
    reason = invalid(modelled.run("--json", "--set", "agent.max_tokens=200"))["decision"]["reasons"][0]
    assert "all of its first 10 replies were cut at their most tokens (the reply was cut: raise " in reason
    assert f"raise {role}.max_tokens " in reason
    assert ("from 200 to 400" in reason) == (role == "agent")
    assert len(modelled.heard(role)) <= 10 + 8
    assert looks(modelled.clone) == ()


@pytest.mark.slow
def test_a_few_attempts_without_a_score_count_for_the_seed_and_against_the_winner(
    modelling: "Modelling", faultless: "Done"
) -> None:
    modelled = modelling(
        settings=SETTINGS.replace("    deterministic: true\n", "    deterministic: true\n" + HASTY)
    )
    lost = {(48, True), (49, False), (50, False)}  # of 64: the seed's fail, and two of the winner's passes
    modelled.server.outage = lambda body: (
        "server"
        if body["model"] == "agent" and (number(body), "post" not in body["messages"][0]["content"]) in lost
        else None
    )
    found = modelled.found()
    before, after = (faultless.found["held_out"][key] for key in ("before", "after"))
    assert (found["held_out"]["before"], found["held_out"]["after"]) == (before, after - 2 / 32)
    bundle = modelled.bundle(found)
    lacking = [each.no_answer for out in bundle.outputs for each in (*out.beside_before, *out.beside_after)]
    assert lacking.count("server") == 3
    assert found["outcome"] == "accepted"


@pytest.mark.slow
def test_with_several_runbooks_the_others_go_on_and_the_status_is_the_worst(
    modelling: "Modelling", planted: ModuleType
) -> None:
    other = {
        path.replace("desk", "other"): text
        for path, text in planted.files().items()
        if path != "runbookopt.yaml"
    }
    modelled = modelling(
        settings=SETTINGS.replace("\n  ", "\n    ").replace("defaults:", "runbooks:\n  desk:"), files=other
    )
    modelled.server.outage = lambda _: "out_of_credit"
    environ = {"OPENAI_API_KEY": "k"}
    ran = modelled.clone.ask("optimize-runbook", "--all", "--json", "--no-propose", environ=environ)
    assert ran.returncode == 1
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [(each["runbook"], each["outcome"]) for each in told] == [
        ("desk", "invalid"),
        ("other", "accepted"),
    ]
