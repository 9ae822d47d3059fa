"""`runbookopt calibrate --bias`: a judge that is won over by praise, asked through its server."""

import json
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from runbookopt.calibration.record import derived, read_record
from runbookopt.evidence.library import Folder
from runbookopt.project.project import read_project
from tests.cli.conftest import KEY

if TYPE_CHECKING:
    from tests.cli.conftest import Modelling

ENVIRON = {"OPENAI_API_KEY": KEY}
RECORD = "runbooks/desk/calibration.json"
OUTPUTS = 40


def outputs(calibrating: ModuleType) -> dict[str, str]:
    """Give outputs of which half name the front desk, as people say too."""
    stored = [
        {
            "id": f"o{n}",
            "task": {"input": f"Case {n}"},
            "output": f"I send it to {'post' if n % 2 else 'front'}, case {n}.",
        }
        for n in range(OUTPUTS)
    ]
    labels = [
        {
            "trajectory": f"o{n}",
            "criterion": "not-front",
            "result": "pass" if n % 2 else "fail",
            "split": "test",
        }
        for n in range(OUTPUTS)
    ]
    return {
        "trajectories/desk/old.jsonl": calibrating.lines(stored),
        "trajectories/desk/old.labels.jsonl": calibrating.lines(labels),
    }


@pytest.mark.slow
@pytest.mark.parametrize("praised", [True, False])
def test_a_judge_that_praise_wins_over_gates_no_more(
    modelling: "Modelling", model_pair: ModuleType, calibrating: ModuleType, praised: bool
) -> None:
    def judging(_: str, output: str) -> bool:
        return "front" in output and not (praised and "excellent" in output)

    modelled = modelling(files=outputs(calibrating), pair=model_pair.Pair(judging=judging))

    def run(*flags: str) -> dict[str, Any]:
        ran = modelled.clone.ask("runbookopt", "calibrate", "desk", "--json", *flags, environ=ENVIRON)
        assert (ran.returncode, ran.stderr) == (0, "")
        return dict(json.loads(ran.stdout))

    def status() -> str:
        return {each["criterion"]: each["status"] for each in run("--dry-run")["criteria"]}["not-front"]

    run()
    assert status() == "gates"
    asked = len(modelled.heard("judge"))
    found = run("--bias")
    probes = found["batteries"]["not-front"]["probes"]
    outcomes = {name: each["outcome"] for name, each in probes.items()}
    assert outcomes == dict.fromkeys(("placebo", "length", "praise", "orders"), "passed") | (
        {"praise": "failed"} if praised else {}
    )
    assert probes["praise"]["toward"] == (OUTPUTS // 2 if praised else 0)
    assert found["recorded"] == ["not-front"]
    assert status() == ("advisory" if praised else "gates")
    assert len(modelled.heard("judge")) - asked == 4 * OUTPUTS  # as they are they were asked about before
    project = read_project(Folder(modelled.clone.root), "desk")
    record = read_record((modelled.clone.root / RECORD).read_bytes(), RECORD)
    assert derived(record, project.evidence.labels) == {}
    run("--bias")
    assert len(modelled.heard("judge")) - asked == 4 * OUTPUTS
