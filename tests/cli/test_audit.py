import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest

from runbookopt.documents.finding import Finding
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.landing.propose import propose
from tests.conftest import PATIENCE, Clone, copied, new_clone, script

RUBRIC = """judge: {model: openai/gpt-5-mini, allow_self_judge: true, api_base: URL}
criteria:
  - {id: right-queue, check: {kind: equals, path: $.queue, reference: $.queue}}
  - {id: kind, judge: Is it kind}
"""


def compared(body: dict[str, Any]) -> str:
    """Answer as a model that knows what is right, and prefers the first where it cannot tell."""
    shown = body["messages"][1]["content"]
    sides = re.findall(r"<(?:first|second) \w+>\n(.*?)\n</", shown, re.DOTALL)
    first, second = ('"card"' in text for text in sides)
    return json.dumps({"critique": "So it is.", "better": "second" if second and not first else "first"})


@pytest.fixture(scope="module")
def server(openai_server: ModuleType) -> Iterator[Any]:
    with openai_server.Server(compared) as server:
        yield server


@pytest.fixture(scope="module")
def proposed(
    tmp_path_factory: pytest.TempPathFactory,
    first_half: ModuleType,
    server: Any,  # noqa: ANN401 - of tests/openai_server.py
) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    policy = f"merge: auto\nreviewers: [bo, cy]\naudit_pairs: 8\n{first_half.TRUST}"
    policy += "auto_merge_if: {calibrated: false}\n"
    rubric = RUBRIC.replace("URL", server.url)
    clone = new_clone(folder, first_half.files(policy, **{"runbooks/triage/rubric.yaml": rubric}))
    ana, _ = (clone.again(login, login) for login in ("ana", "bo"))
    with Repository.open(ana.root) as repository:
        made = first_half.FirstHalf(repository, judged={"kind": Finding("pass")})
        propose(repository, LocalForge(repository), made())
    return folder


@pytest.fixture
def bo(proposed: Path, tmp_path: Path) -> Clone:
    place = copied(proposed, tmp_path / "team")
    return Clone(place / "bo", place / "clone-origin.git")


def page_of(address: str) -> tuple[bytes, str]:
    """Give the page and its policy."""
    where = urlsplit(address)
    connection = HTTPConnection(where.netloc, timeout=PATIENCE)
    connection.request("GET", where.path)
    reply = connection.getresponse()
    return reply.read(), reply.headers["Content-Security-Policy"]


def asked(address: str, name: str, value: object) -> dict[str, Any]:
    where = urlsplit(address)
    connection = HTTPConnection(where.netloc, timeout=PATIENCE)
    connection.request("POST", where.path + name, json.dumps(value), {"Content-Type": "application/json"})
    told = json.loads(connection.getresponse().read())
    return told if isinstance(told, dict) else {"left": told}


def test_a_person_at_the_page_audits_and_what_waited_for_it_is_merged(bo: Clone) -> None:
    before = bo.ask("runbookopt", "pulls", "merge", "--auto")
    assert "no reviewer has audited the 8 held-out pairs" in before.stdout
    command = [script("runbookopt"), "audit", "triage", "--json"]
    with subprocess.Popen(
        command, cwd=bo.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        found = re.fullmatch(r"8 pairs to compare: open (http://127\.0\.0\.1:\d+/\S+/)\n", first)
        assert found, first
        page, policy = page_of(found[1])
        assert b"<title>Audit</title>" in page
        assert "default-src 'none'" in policy
        sheet = asked(found[1], "start", {})
        assert {"seed", "winner", "look"}.isdisjoint({*sheet, *sheet["pairs"][0]})
        for pair in sheet["pairs"]:
            better = "left" if pair["left"] == pair["expected"] or '"card"' in pair["left"] else "right"
            asked(found[1], "answer", {"task": pair["task"], "answer": better})
        assert "this confirms the gain" in asked(found[1], "end", {})["found"]
        out, _ = process.communicate(timeout=PATIENCE)
    ended = json.loads(out)
    assert (process.returncode, ended["found"]["wins"], ended["counts"]) == (0, 8, True)
    assert ended["changed"] == 20
    assert "merged pull request 1" in bo.ask("runbookopt", "pulls", "merge", "--auto").stdout


def test_in_the_terminal_a_letter_answers_one_goes_back_and_what_was_said_is_kept(
    bo: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO("l\nwhat\nu\ne\n"))
    ended = bo.ask("runbookopt", "audit", "triage", "--terminal")
    assert ended.returncode == 130
    assert "7 pairs are left; what was answered is kept" in ended.stderr
    assert "-- LEFT --" in ended.stderr
    monkeypatch.setattr(sys, "stdin", StringIO("e\n" * 7))
    done = bo.ask("runbookopt", "audit", "triage", "--terminal", "--pull", "1")
    assert done.returncode == 3
    told = (
        "You compared 8 of 20 pairs whose verdict changed: the winner's output is better in 0, today's in 0"
    )
    assert told in done.stdout
    assert "It counts for pull request 1." in done.stdout
    assert "pair 2 of 8" in done.stderr
    assert "pair 1 of 8" not in done.stderr


def test_nothing_is_audited_that_is_not_proposed(bo: Clone) -> None:
    ended = bo.ask("runbookopt", "audit", "triage", "--pull", "7")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "triage has no open pull request 7" in ended.stderr


@pytest.mark.nightly
@pytest.mark.parametrize("token", [None, "a-token"])
def test_a_model_may_answer_and_is_named_as_one(
    bo: Clone,
    server: Any,  # noqa: ANN401 - of tests/openai_server.py
    token: str | None,
) -> None:
    environ = {"OPENAI_API_KEY": "sk-test", **({"GITHUB_TOKEN": token} if token else {})}
    ended = bo.run("runbookopt", "audit", "triage", "--judge", "openai/gpt-5", "--json", environ=environ)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["judge"], told["found"]["wins"], told["counts"]) == ("openai/gpt-5", 8, False)
    assert "a model answered" in told["next"]
    assert {heard.body["model"] for heard in server.heard} == {"gpt-5"}
    assert "no reviewer has audited" in bo.ask("runbookopt", "pulls", "merge", "--auto").stdout
