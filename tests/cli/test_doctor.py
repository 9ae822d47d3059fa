"""What `runbookopt doctor` finds, and what it says of what fails."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.cli.conftest import KEY
from tests.conftest import Clone
from tests.forge.bench import Bench

if TYPE_CHECKING:
    from tests.cli.conftest import Modelling
    from tests.conftest import Files


class Seen(NamedTuple):
    """Whether it holds, what was found, and what mends it."""

    holds: bool | None
    found: str
    fix: str


class Ready:
    """A model that says so."""

    def answer(self, body: Mapping[str, Any]) -> str:
        assert len(json.dumps(body)) < 500, "that is no small call"
        return "ready"


def seen_by(clone: Clone, environ: Mapping[str, str] = {}) -> tuple[int, dict[str, Seen]]:
    """Give the exit status, and what was seen, by name."""
    ran = clone.ask("runbookopt", "doctor", "--json", environ=environ)
    assert ran.stderr == ""
    told = json.loads(ran.stdout)
    assert told["ok"] == (ran.returncode == 0)
    seen = {each["what"]: Seen(each["holds"], each["found"], each["fix"]) for each in told["seen"]}
    assert [what for what, each in seen.items() if bool(each.fix) == bool(each.holds)] == []
    return ran.returncode, seen


def test_nothing_fails_where_all_is_there_and_nothing_is_changed(
    clones: "Callable[[Files], Clone]", planted: ModuleType
) -> None:
    clone = clones(planted.files())
    before = (clone.at_origin("for-each-ref"), clone.git("for-each-ref"))
    ran = clone.ask("runbookopt", "doctor")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "yes      roles of desk: agent offline, reflector offline\n" in ran.stdout
    assert "to mend it" not in ran.stdout
    assert ran.stdout.splitlines()[-1].startswith("0 fail, 0 unknown, ")
    assert (clone.at_origin("for-each-ref"), clone.git("for-each-ref")) == before


@pytest.mark.slow
def test_each_model_is_asked_once_and_one_that_refuses_is_told_without_its_key(
    modelling: "Modelling",
) -> None:
    modelled = modelling(pair=Ready())
    modelled.server.outage = lambda body: "unauthorized" if body["model"] == "judge" else None
    token = "ghp_" + "4fGh7" * 8
    status, seen = seen_by(modelled.clone, {"OPENAI_API_KEY": KEY, "GITHUB_TOKEN": token})
    assert status == 1
    assert [what for what, each in seen.items() if not each.holds] == ["model openai/judge"]
    assert seen["model openai/agent"].found.startswith("it answers (agent of desk; ")
    assert "does not accept the key: set OPENAI_API_KEY" in seen["model openai/judge"].found
    assert "rubric.yaml" in seen["model openai/judge"].fix
    assert sorted(each.body["model"] for each in modelled.server.heard) == ["agent", "judge", "reflector"]
    told = json.dumps([seen, [each.headers for each in modelled.server.heard]])
    assert token not in told
    assert modelled.places_of_the_key(json.dumps(seen)) == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("{agent: {kind: comand}}", {"settings": ("did you mean 'command'?", "`runbookopt check`")}),
        (
            "{agent: {kind: command, argv: [./no]}}",
            {"roles of desk": ("agent.argv: no program at", "runbookopt.yaml")},
        ),
        (
            "{agent: {kind: chat, model: openai/a, api_base: 'https://a.example'}}",
            {"roles of desk": ("a.example", "runbookopt.yaml")},
        ),
        (
            "{forge: {kind: github}, agent: {kind: chat, model: openai/gpt-5}}",
            {"forge": ("no token for GitHub", "GITHUB_TOKEN"), "model openai/gpt-5": ("wants a key", "")},
        ),
    ],
)
def test_what_settings_name_and_is_not_there_fails(
    settings: str,
    expected: dict[str, tuple[str, str]],
    clones: "Callable[[Files], Clone]",
    planted: ModuleType,
) -> None:
    clone = clones({**planted.files(), "runbookopt.yaml": f"defaults: {settings}\n"})
    status, seen = seen_by(clone)
    assert status == 1
    for what, (found, fix) in expected.items():
        assert seen[what].holds is False
        assert found in seen[what].found
        assert fix in seen[what].fix


def test_a_key_that_stands_in_a_wrong_place_is_not_shown(
    clones: "Callable[[Files], Clone]", planted: ModuleType
) -> None:
    settings = f"defaults: {{agent: {{kind: chat, model: {KEY}}}}}\n"
    clone = clones({**planted.files(), "runbookopt.yaml": settings})
    clone.git("remote", "set-url", "origin", f"file://ana:{KEY}@localhost/no/such/place")
    ran = clone.ask("runbookopt", "doctor", environ={"GITHUB_TOKEN": KEY})
    assert ran.returncode == 1
    assert "model [removed: credential]: " in ran.stdout
    assert KEY not in ran.stdout + ran.stderr


def test_an_origin_that_is_not_there_fails(clones: "Callable[[Files], Clone]", planted: ModuleType) -> None:
    clone = clones(planted.files())
    clone.git("remote", "set-url", "origin", "/no/such/place")
    status, seen = seen_by(clone)
    assert status == 1
    assert "cannot reach origin" in seen["origin"].found
    assert "git ls-remote origin" in seen["origin"].fix
    clone.git("remote", "remove", "origin")
    assert seen_by(clone)[1]["origin"].fix.startswith("git remote add origin URL")


def test_a_folder_that_is_no_clone_ends_with_a_sentence(tmp_path: Path) -> None:
    ran = Clone(tmp_path, tmp_path).ask("runbookopt", "doctor")
    assert ran.returncode == 1
    assert "is not in a git repository" in ran.stdout


def test_the_token_is_told_by_its_rights_and_never_shown(tmp_path: Path, first_half: ModuleType) -> None:
    with Bench(tmp_path, first_half, first_half.REVIEW) as bench:
        clone = Clone(bench.repository.root, bench.github.origin)
        _, seen = seen_by(clone, bench.environ())
        assert seen["forge"].found == "GitHub lists 0 pull request(s)"
        assert "it speaks for" in seen["token"].found
        assert seen["push"].holds is True
        assert bench.github.token not in json.dumps(seen)
        reader = bench.github.add_user("ro", "read")
        status, seen = seen_by(clone, bench.environ(reader))
        assert status == 1
        assert seen["token"].found == "it speaks for ro, who may not push"
        assert "contents" in seen["token"].fix
        assert seen["push"].holds is False
        assert "denied to ro" in seen["push"].found
        key = tmp_path / "app.pem"
        key.write_text(bench.github.app_key())
        app = {"RUNBOOKOPT_APP_ID": str(bench.github.app_id), "RUNBOOKOPT_APP_PRIVATE_KEY_FILE": str(key)}
        status, seen = seen_by(clone, {"GITHUB_API_URL": bench.github.api_url, **app})
        assert (status, seen["token"].holds, seen["push"].holds) == (0, None, True)
        wrong = "ghp_" + "0" * 36
        status, seen = seen_by(clone, bench.environ(wrong))
        assert status == 1
        assert "the token is not valid" in seen["forge"].found
        assert wrong not in json.dumps(seen)
