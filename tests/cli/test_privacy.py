"""Secrets of twenty kinds in what is stored, and commands that say no more than that they are there."""

import json
import random
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from tests.evidence.secrets_of_20_kinds import ALL, CORES, SECRETS, kinds_in
from tests.evidence.secrets_of_20_kinds import planted as planted_in
from tests.evidence.test_privacy import FILES

if TYPE_CHECKING:
    from tests.cli.conftest import Modelling
    from tests.conftest import Clone, Files

KEY = SECRETS["github"]


def planted_lines(module: ModuleType) -> str:
    records = module.trajectories(held_out=32)
    for number, record in enumerate(records):
        own = random.Random(number)  # words of its own: what differs by a number alone repeats another
        rest = " ".join("".join(own.choices("aeioubdgklmnprst", k=5)) for _ in range(12))
        input_ = f"{record['task']['input']} {rest} with {list(SECRETS.values())[number % len(SECRETS)]}"
        record["task"] = record["task"] | {"input": input_}
        record["output"] = f"no idea: {ALL}"
    text: str = module.lines(records)
    return text


def test_check_fails_for_a_key_that_looks_alive_and_never_quotes_it(
    clones: "Callable[[Files], Clone]", planted: ModuleType
) -> None:
    records = planted.trajectories()
    records[3]["output"] = f"here: {KEY}"
    clone = clones(planted.files(trajectories=planted.lines(records)))
    ran = clone.ask("runbookopt", "check")
    assert ran.returncode == 1
    assert re.search(
        r"^trajectories/desk/all\.jsonl:4: a GitHub token that looks alive; revoke", ran.stdout, re.MULTILINE
    )
    assert "desk: removed before anybody is shown them: 1 x github token" in ran.stdout
    assert kinds_in(ran.stdout + ran.stderr) == []
    told = json.loads(clone.ask("runbookopt", "check", "--json").stdout)
    assert told["runbooks"][0]["removed"] == {"github token": 1}
    assert told["problems"][0]["severity"] == "error"


def test_an_import_tells_what_it_removed_and_keeps_its_key_to_itself(
    clones: "Callable[[Files], Clone]", planted: ModuleType
) -> None:
    policy = f"personal_data: remove\n{planted.POLICY}"
    clone = clones(planted.files(policy=policy))
    rows = [{"id": n, "task": {"input": f"{n} of ana@a.example: {KEY}"}} for n in range(2)]
    clone.write({"given.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    ran = clone.ask("runbookopt", "trajectories", "import", "given.jsonl")
    assert ran.returncode == 0, ran
    assert "removed    2 x e-mail address, 2 x github token: placeholders stand" in ran.stdout
    assert "given.jsonl:1: a GitHub token that looks alive" in ran.stderr
    first, second = (clone.root / "trajectories/desk/imported-runbookopt.jsonl").read_text().splitlines()
    placeholders = re.findall(r"\[removed: [a-z -]+ [0-9a-f]{8}\]", first)
    assert len(placeholders) == 2
    assert re.findall(r"\[removed: [a-z -]+ [0-9a-f]{8}\]", second) == placeholders
    again = clone.ask("runbookopt", "trajectories", "import", "given.jsonl", "--json")
    assert (json.loads(again.stdout)["new"], json.loads(again.stdout)["changed"]) == (0, [])
    key = clone.root / ".runbookopt/placeholder-key"
    assert (key.stat().st_mode & 0o777, len(key.read_bytes())) == (0o600, 32)


@pytest.mark.nightly
@pytest.mark.parametrize("name", FILES)
def test_no_command_shows_a_secret_of_a_file_of_any_format(
    name: str, clones: "Callable[[Files], Clone]", planted: ModuleType
) -> None:
    clone = clones(planted.files())
    clone.write({"given.json": json.dumps(planted_in(FILES[name]), indent=1)})
    (clone.root / "trajectories/desk/own.json").write_bytes((clone.root / "given.json").read_bytes())
    before = {path.name for path in (clone.root / "trajectories/desk").iterdir()}
    said = ""
    ids: set[str] = set()
    for command in (["check"], ["trajectories", "import", "given.json"], ["trajectories", "list", "--json"]):
        ran = clone.ask("runbookopt", *command)
        said += ran.stdout + ran.stderr
        ids |= set(re.findall(r'"id": "([^"]+)"', ran.stdout))
    for command in (["stats"], ["stats", "--json"], *(["show", id_, "--whole"] for id_ in sorted(ids)[:5])):
        ran = clone.ask("runbookopt", "trajectories", *command)
        said += ran.stdout + ran.stderr
    written = [path for path in (clone.root / "trajectories/desk").iterdir() if path.name not in before]
    assert kinds_in(said + "".join(path.read_text() for path in written)) == []


OURS, OF_A_CUSTOMER = "desk@shop.example", "ana@home.example"


class Quoting:
    """The offline pair, whose agent quotes all that it was told, and gives two addresses."""

    def __init__(self, pair: Any) -> None:  # noqa: ANN401 - of tests/model_pair.py
        self._pair = pair

    def answer(self, body: Mapping[str, Any]) -> str:
        text: str = self._pair.answer(body)
        if body["model"] != "agent":
            return text
        return json.dumps(
            json.loads(text) | {"said": f"{body['messages'][1]['content']} {OF_A_CUSTOMER} {OURS}"}
        )


def left_by(root: Any) -> Iterator[str]:  # noqa: ANN401 - a folder
    """Give the texts of all files of the local state, the journal's among them."""
    for path in sorted(root.rglob("*")):
        if path.suffix == ".sqlite3":
            with closing(sqlite3.connect(path)) as journal:
                yield "\n".join(journal.iterdump())
        elif path.is_file():
            yield path.read_bytes().decode(errors="replace")


@pytest.mark.slow
def test_a_run_leaves_no_secret_in_prompt_journal_bundle_report_or_terminal(
    modelling: "Modelling", model_pair: ModuleType, planted: ModuleType
) -> None:
    files = {
        "trajectories/desk/all.jsonl": planted_lines(planted),
        "runbooks/desk/RUNBOOK.md": f"{planted.RUNBOOK}\n## Who we are\n\nWrite to {OURS}.\n",
        "runbooks/desk/policy.yaml": f"{planted.POLICY}personal_data: remove\n",
    }
    modelled = modelling(pair=Quoting(model_pair.Pair()), files=files)
    ran = modelled.run("--json")
    assert ran.returncode == 0, ran
    assert json.loads(ran.stdout)["outcome"] == "accepted"
    texts = {
        "prompt": json.dumps([each.body for each in modelled.server.heard]),
        "local state": "\n".join(left_by(modelled.clone.root / ".runbookopt")),
        "report": modelled.body() + modelled.clone.at_origin("log", "-p", "runbookopt/desk"),
        "terminal": ran.stdout + ran.stderr + modelled.clone.ask("runbookopt", "check").stdout,
    }
    ours = modelled.clone.at_origin("show", "main:trajectories/desk/all.jsonl")
    texts["report"] = texts["report"].replace(ours, "")
    assert "[removed: " in texts["prompt"]
    reflected = json.dumps([each.body for each in modelled.server.heard if each.body["model"] == "reflector"])
    assert OF_A_CUSTOMER not in reflected
    assert f"[removed: e-mail address 1] {OURS}" in reflected
    assert len(kinds_in(ours)) == len(CORES)
    texts["report"] = "\n".join(
        line for line in texts["report"].splitlines() if line.removeprefix("+") not in set(ours.splitlines())
    )
    assert {place: kinds_in(text) for place, text in texts.items() if kinds_in(text)} == {}
