import json
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import script

if TYPE_CHECKING:
    from tests.cli.conftest import Done, Modelled, Modelling

ROLES = ("agent", "reflector", "judge")
KINDS = {
    "rate_limited": "rate_limited",
    "server": "server",
    "cut": "connection",
    "truncated": "truncated",
    "garbage": "unparsable",
}
"""What a scripted fault is called where it is counted."""


class Storm:
    """A plan of faults that remembers what it did; one answer in twenty takes twenty times as long."""

    def __init__(self, server: ModuleType) -> None:
        self._fault = server.Fault
        self._plan = server.by_chance(
            {"rate_limited": 0.3, "server": 0.1, "cut": 0.05, "slow": 0.05},
            first_only={"truncated": 0.05, "garbage": 0.05},
        )
        self.done: Counter[str] = Counter()

    def __call__(self, digest: str, times: int) -> Any:  # noqa: ANN401 - of tests/openai_server.py
        fault = self._plan(digest, times)
        if fault is not None:
            self.done[fault.kind] += 1
            self.done["silent"] += fault.kind == "rate_limited" and fault.seconds is None
        return self._fault("slow", 0.2) if fault is not None and fault.kind == "slow" else fault


@pytest.fixture(scope="session")
def stormy(modelling: "Modelling", openai_server: ModuleType) -> "tuple[Storm, Modelled, dict[str, Any]]":
    storm = Storm(openai_server)
    modelled = modelling(faults=storm)
    return storm, modelled, modelled.found("--width", "24")


Stormy = tuple[Storm, "Modelled", dict[str, Any]]


@pytest.mark.slow
def test_faults_change_neither_the_winner_nor_any_output(faultless: "Done", stormy: Stormy) -> None:
    _, modelled, found = stormy
    for key in ("outcome", "held_out", "validation", "objectives", "candidates"):
        assert found[key] == faultless.found[key]
    bundle, other = modelled.bundle(found), faultless.modelled.bundle(faultless.found)
    assert (bundle.digests.candidate, bundle.outputs) == (other.digests.candidate, other.outputs)
    assert bundle.members == other.members


@pytest.mark.slow
def test_failed_attempts_are_counted_by_kind_as_the_server_made_them(stormy: Stormy) -> None:
    storm, _, found = stormy
    counted: Counter[str] = Counter()
    for role in ROLES:
        counted.update(found["spent"]["usage"][role].get("failures", {}))
    assert counted == {name: storm.done[kind] for kind, name in KINDS.items()}
    assert min(*(storm.done[kind] for kind in KINDS), storm.done["slow"]) > 5
    assert 0.3 < storm.done["silent"] / storm.done["rate_limited"] < 0.7


@pytest.mark.slow
def test_a_call_that_failed_and_was_billed_is_paid_for(stormy: Stormy) -> None:
    _, modelled, found = stormy
    for role in ROLES:
        used = {name: value for name, value in found["spent"]["usage"][role].items() if name != "failures"}
        billed = modelled.billed(role)
        assert used == pytest.approx({name: value for name, value in billed.items() if value or name in used})


@pytest.mark.slow
def test_the_pull_request_lists_the_failures_by_kind(stormy: Stormy) -> None:
    _, modelled, found = stormy
    body = modelled.body()
    failures = {role: found["spent"]["usage"][role].get("failures", {}) for role in ROLES}
    assert sum(map(bool, failures.values())) >= len(ROLES) - 1  # a reflector is asked seldom
    for role in ROLES:
        (line,) = re.findall(rf"^- Calls of the {role} (.*)$", body, re.MULTILINE)
        told = re.findall(r"`(\w+)` (\d+)", line.partition("; failed attempts: ")[2])
        assert {kind: int(count) for kind, count in told} == failures[role]


# Where no call can succeed ---------------------------------------------------------------------------------


def complaint(modelled: "Modelled", *flags: str) -> str:
    """Run it, and give why it has no result, as the one line that it complains with says."""
    ran = modelled.run("--json", *flags)
    assert (ran.returncode, ran.stdout.count("\n"), ran.stderr.count("\n")) == (1, 1, 1), ran
    found = json.loads(ran.stdout)
    reason: str = found["decision"]["reasons"][0].removeprefix("note: invalid: ")
    assert (found["outcome"], reason in ran.stderr) == ("invalid", True)
    assert (modelled.clone.root / ".runbookopt/journal.sqlite3").exists()
    assert modelled.places_of_the_key(ran.stdout, ran.stderr) == []
    return reason.replace(modelled.server.url, "URL")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("unauthorized", "URL does not accept the key: set OPENAI_API_KEY (Incorrect API key provided: ["),
        ("unknown_model", "URL knows no such model: correct its name, or api_base (The model `agent` does"),
    ],
)
def test_what_a_person_must_set_right_ends_the_run_with_one_line(
    modelling: "Modelling", openai_server: ModuleType, kind: str, told: str
) -> None:
    modelled = modelling(faults=openai_server.always(kind))
    assert complaint(modelled).startswith(f"openai/agent: {told}")
    assert len(modelled.server.heard) <= 8, "what was in flight, and nothing again"


@pytest.mark.slow
@pytest.mark.parametrize(("context", "role"), [(20, "agent"), (600, "reflector")])
def test_a_context_that_is_too_small_for_every_prompt_ends_the_run(
    modelling: "Modelling", context: int, role: str
) -> None:
    assert complaint(modelling(context=context)) == (
        f"openai/{role}: every prompt is too long for it: choose a model with a larger context"
        f" (This model's maximum context length is {context} tokens. Your messages have more.)"
    )


@pytest.mark.slow
def test_a_name_without_a_provider_ends_the_run(modelling: "Modelling") -> None:
    told = complaint(modelling(), "--model", "gpt-of-nobody")
    assert told == (
        "gpt-of-nobody: URL knows no such model: correct its name, or api_base"
        " (a name is provider/model, as in openai/gpt-5-mini)"
    )


@pytest.mark.slow
def test_a_server_that_is_down_ends_the_run(modelling: "Modelling") -> None:
    modelled = modelling()
    modelled.server.__exit__()
    told = complaint(modelled)
    assert re.fullmatch(
        r"openai/agent: no connection to URL: start the server, or correct api_base \(.*\)", told
    ), told


@pytest.mark.slow
def test_a_certificate_that_nobody_signed_ends_the_run(modelling: "Modelling") -> None:
    told = complaint(modelling(tls=True))
    start = "openai/agent: the certificate of URL is not trusted: correct api_base, or set SSL_CERT_FILE to"
    assert told.startswith(start), told


@pytest.mark.nightly
def test_a_key_that_is_taken_back_leaves_the_journal_and_the_same_command_goes_on(
    modelling: "Modelling", openai_server: ModuleType, faultless: "Done"
) -> None:
    heard = Counter[str]()

    def taken_back(digest: str, times: int) -> Any:  # noqa: ANN401, ARG001 - a plan's arguments
        heard["all"] += 1
        return openai_server.Fault("unauthorized") if heard["all"] > 100 else None

    modelled = modelling(faults=taken_back)
    assert "does not accept the key: set OPENAI_API_KEY" in complaint(modelled)
    assert modelled.journaled() == modelled.server.billed().calls == 100
    modelled.server.faults = None
    found = modelled.found()
    assert found["validation"] == faultless.found["validation"]
    refused = sum(each.status == 401 for each in modelled.server.heard)
    assert 0 < modelled.asked_again() == refused <= 8


# Killed ----------------------------------------------------------------------------------------------------


@pytest.mark.nightly
def test_a_killed_run_goes_on_and_asks_again_only_for_what_was_in_flight(
    modelling: "Modelling", model_pair: ModuleType, faultless: "Done"
) -> None:
    held, resumed = Counter[str](), threading.Event()

    def until_enough(body: dict[str, Any]) -> str:
        """Answer, but when enough was heard wait until the run is resumed."""
        if len(modelled.server.heard) > 200 and not resumed.is_set():
            held["now"] += 1
            resumed.wait()
        return str(model_pair.Pair().answer(body))

    modelled = modelling()
    modelled.server.answer = until_enough
    with subprocess.Popen(
        [script("optimize-runbook"), "desk", "--json"],
        cwd=modelled.clone.root,
        env={**os.environ, "OPENAI_API_KEY": "made up"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        while not held["now"] or modelled.journaled() + held["now"] < len(modelled.server.heard):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    journaled, heard = modelled.journaled(), len(modelled.server.heard)
    resumed.set()
    found = modelled.found()
    assert modelled.asked_again() == heard - journaled <= 8
    bundle, other = modelled.bundle(found), faultless.modelled.bundle(faultless.found)
    assert (bundle.digests.candidate, bundle.outputs) == (other.digests.candidate, other.outputs)
    assert found["spent"]["rollouts"] + found["spent"]["cached"] == faultless.found["spent"]["rollouts"]
