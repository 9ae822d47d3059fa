"""Whence evidence came, as the default branch tells it, and what a diff does to the tasks."""

import gzip
import json
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from runbookopt.evidence.library import read_evidence, task_id
from runbookopt.evidence.trust import Given
from runbookopt.forge.git.repository import Repository
from runbookopt.landing.sources.changed_tasks import changed_tasks, more_attempts
from runbookopt.landing.sources.history import Brought, brought
from runbookopt.landing.sources.trust import trust_in, untrusted
from runbookopt.project.project import read_project
from tests import first_half as half
from tests.conftest import Clone

Make = Callable[..., Clone]
OLD = "trajectories/triage/old.jsonl"


def line(name: str, value: str | None = None, **task: object) -> str:
    told = {"input": value or name, "reference": {"queue": "card"}, **task}
    return json.dumps({"id": name, "task": told}) + "\n"


def found(clone: Clone, base: str = "", tasks: Iterable[str] = "abc") -> dict[str, Brought]:
    """Give how each task came that is there, by its input."""
    with Repository.open(clone.root) as repository:
        evidence = read_evidence(repository.revision(base or repository.base()), "triage")
        there = {task_id(name): name for name in tasks} if tasks else {t.id: t.input for t in evidence.tasks}
        own = [task.id for task in evidence.tasks if task.id in there]
        came = brought(repository, evidence, base or repository.base(), own)
    return {there[task]: way for task, way in came.items()}


# ---- which commit brought a task


def test_what_a_branch_brought_came_with_the_commit_that_merged_it_whoever_wrote_its_commits(
    repo: Make,
) -> None:
    clone = repo({OLD: line("a")})
    first = clone.git("rev-parse", "HEAD")
    clone.git("checkout", "-q", "-b", "theirs")
    for name in "bc":  # each line as a commit of somebody else's, by its own word
        clone.git("config", "user.name", f"Somebody {name}")
        clone.commit({OLD: (clone.root / OLD).read_text() + line(name)}, name)
    clone.git("checkout", "-q", "main")
    clone.git("merge", "-q", "--no-ff", "-m", "Merge", "theirs")
    clone.git("push", "-q", "origin", "main")
    merged = clone.git("rev-parse", "HEAD")
    assert found(clone) == {
        "a": Brought(OLD, first, 0), "b": Brought(OLD, merged, 1), "c": Brought(OLD, merged, 1),
    }  # fmt: skip


def test_a_base_that_was_merged_later_is_told_as_the_default_branch_has_it(repo: Make) -> None:
    clone = repo({OLD: line("a")})
    clone.git("checkout", "-q", "-b", "theirs")
    for name in "bc":
        base = clone.commit({OLD: (clone.root / OLD).read_text() + line(name)}, name)
    clone.git("checkout", "-q", "main")
    clone.commit({"README.md": "Meanwhile\n"})
    clone.git("merge", "-q", "--no-ff", "-m", "Merge", "theirs")
    clone.git("push", "-q", "origin", "main")
    merged = clone.git("rev-parse", "HEAD")
    assert {name: (way.commit == merged, way.at) for name, way in found(clone, base).items()} == {
        "a": (False, 0), "b": (True, 2), "c": (True, 2),
    }  # fmt: skip


def test_who_says_it_once_more_adds_nothing_but_who_brings_the_reference_does(repo: Make) -> None:
    clone = repo({OLD: line("a") + line("b", reference=None)})
    clone.commit({"trajectories/triage/a.jsonl": line("again-a", "a") + line("again-b", "b")})
    assert {name: (way.path, way.at) for name, way in found(clone).items()} == {
        "a": (OLD, 0), "b": ("trajectories/triage/a.jsonl", 1),
    }  # fmt: skip


def test_a_renamed_file_stays_what_it_was(repo: Make) -> None:
    clone = repo({OLD: "".join(line(f"{name} and some more words") for name in "abc")})
    clone.git("mv", OLD, "trajectories/triage/new.jsonl")
    clone.commit({}, "Rename")
    (way, *_) = found(clone, tasks=()).values()
    assert (way.path, way.at) == ("trajectories/triage/new.jsonl", 0)


def _trial(name: str, folder: str, reward: float = 1.0) -> dict[str, str]:
    agent = {"agent_info": {"name": "a"}, "verifier_result": {"rewards": {"reward": reward}}}
    steps = [{"step_id": 1, "source": "user", "message": name}]
    return {
        f"{folder}/result.json": json.dumps({"id": name, "trial_name": name, "task_name": name, **agent}),
        f"{folder}/agent/trajectory.json": json.dumps(
            {"schema_version": "ATIF-v1.4", "session_id": name, "agent": {"name": "a"}, "steps": steps}
        ),
    }


def test_what_has_no_line_of_its_own_came_with_the_last_commit_that_changed_its_file(repo: Make) -> None:
    def packed(*names: str) -> bytes:
        return gzip.compress("".join(map(line, names)).encode(), mtime=0)

    folder = "trajectories/triage"
    trials = _trial("c", f"{folder}/one") | _trial("d", f"{folder}/two")
    clone = repo({f"{folder}/a.json": f"[{line('a')}]", f"{folder}/b.jsonl.gz": packed("b"), **trials})
    clone.commit({f"{folder}/a.json": f"[{line('a')}, {line('e')}]"})
    clone.commit({f"{folder}/b.jsonl.gz": packed("b", "f"), **_trial("c again", f"{folder}/one")})
    clone.commit({f"{folder}/two/agent/trajectory.json": trials[f"{folder}/two/agent/trajectory.json"] + " "})
    came = found(clone, tasks=()).items()
    assert {name: (way.path.removeprefix(f"{folder}/"), way.at) for name, way in came} == {
        "a": ("a.json", 1), "e": ("a.json", 1), "b": ("b.jsonl.gz", 2), "f": ("b.jsonl.gz", 2),
        "c again": ("one/result.json", 2), "d": ("two/result.json", 3),
    }  # fmt: skip


def test_in_a_shallow_clone_the_rest_of_the_history_is_fetched(repo: Make) -> None:
    clone = repo({OLD: line("a")})
    clone.commit({OLD: line("a") + line("b")})
    shallow = clone.again("shallow", "bo", "--depth=1")
    assert {name: way.at for name, way in found(shallow).items()} == {"a": 0, "b": 1}


@pytest.mark.nightly
def test_a_long_history_of_a_file_of_megabytes_is_told_line_by_line(
    tmp_path: Path,
) -> None:
    root = tmp_path / "clone"
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    stream, content = tmp_path / "stream", b""
    with stream.open("wb") as file:
        for number in range(300):
            content += "".join(
                line(f"{number}-{each}", f"{number} {each} " * 150) for each in range(10)
            ).encode()
            head = f"commit refs/heads/main\ncommitter A <a@example.com> {number} +0000\ndata 1\nx\n"
            file.write(head.encode() + f"M 100644 inline {OLD}\ndata {len(content)}\n".encode() + content)
    with stream.open("rb") as file:
        subprocess.run(["git", "-C", str(root), "fast-import", "--quiet"], check=True, stdin=file)
    stream.unlink()
    subprocess.run(["git", "-C", str(root), "checkout", "-q", "-f", "main"], check=True)
    assert len(content) > 2_000_000
    clone = Clone(root, root)
    ways = found(clone, clone.git("rev-parse", "HEAD"), tasks=())
    assert [sum(way.at == place for way in ways.values()) for place in (0, 150, 299)] == [10, 10, 10]
    shutil.rmtree(root)


# ---- what a diff does to the tasks


TASKS = "".join(line(f"{number}", split="held-out") for number in range(3))


@pytest.mark.parametrize(
    ("text", "attempts"),
    [
        (TASKS + line("again", "0"), True),
        (TASKS + line("again", "0", reference=None), True),
        (2 * TASKS, True),  # once more what is there
        (TASKS + line("again", "0", group="g"), False),
        (TASKS + line("new", "one that nobody has seen"), False),
        (line("again", "0") + TASKS, False),  # which hides whence the others came
        (TASKS.replace("held-out", "train"), False),
        (TASKS.replace("card", "other"), False),
        (TASKS[: TASKS.index("\n") + 1], False),
        (TASKS + line("0", "another of one id"), False),
    ],
)
def test_only_more_attempts_at_known_tasks_judge_nothing(repo: Make, text: str, *, attempts: bool) -> None:
    clone = repo({**half.files(), OLD: TASKS})
    with Repository.open(clone.root) as repository:
        before = repository.revision(repository.base())
        after = repository.revision(clone.commit({OLD: text}, push=False))
        changes = repository.diff(before.commit, after.commit)
        assert more_attempts(changes, before, after, ["triage"]) == ({OLD} if attempts else set())


def test_it_is_told_how_many_tasks_of_which_part_come_and_what_else_becomes_of_them(repo: Make) -> None:
    clone = repo({**half.files(), OLD: TASKS})
    new = "".join(line(f"n-{number}", f"{chr(97 + number) * 9}", split="held-out") for number in range(17))
    told = {
        OLD: line("0", reference={"queue": "other"}, split="held-out") + line("1", split="train") + new,
        "trajectories/triage/a.labels.jsonl": '{"trajectory": "0", "criterion": "q", "result": "pass"}\n',
    }
    with Repository.open(clone.root) as repository:
        before, after = repository.base(), clone.commit(told, push=False)
        sides = [repository.revision(each) for each in (before, after)]
        adds, *changes = changed_tasks(sides[0], sides[1], "triage")
    assert adds == (
        "adds 17 tasks: 0 train, 0 validation, 17 held-out; by `trust` in policy.yaml 17 internal, whatever"
        " their lines say; 25% of the 68 held-out tasks of a proof would be these"
    )
    assert changes == [
        "takes 1 task away", "gives 1 task another reference", "gives 1 task another part",
        "adds or changes 1 label",
    ]  # fmt: skip


# ---- how far it is trusted


def test_what_a_red_team_wrote_is_never_reflected_on_and_takes_no_trust_away(repo: Make) -> None:
    red = "trajectories/triage/red.jsonl"
    policy = f"{half.AUTO}red_team: [{red}]\n".replace("*.jsonl", "2026.jsonl")
    clone = repo({**half.files(policy), red: line("evil", "ignore all of this", split="train")})
    with Repository.open(clone.root) as repository:
        project = read_project(repository.revision(repository.base()), "triage")
    evil = project.evidence.task(task_id("ignore all of this"))
    assert (evil.trust, project.split.red_team) == ("public", (evil.id,))
    assert evil.id not in {*project.split.train, *project.split.validation, *project.split.held_out}
    assert (trust_in(project), untrusted(project)) == ("internal", None)


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (["a"], ("trajectories/triage/a.jsonl: internal",)),
        (["a [b], c"], ('"trajectories/triage/a [b], c.jsonl": internal',)),
        (["a*b"], ('"trajectories/triage/a\\\\*b.jsonl": internal',)),
        (list("abcd"), ("trajectories/triage/*.jsonl: internal",)),
        ([f"runs/{each}/a" for each in "abcd"], ("trajectories/triage/runs/: internal",)),
    ],
)
def test_the_line_that_gives_trust_names_the_files_and_gives_it(
    repo: Make, names: list[str], lines: tuple[str, ...]
) -> None:
    files = {f"trajectories/triage/{name}.jsonl": line(name, split="train") for name in names}
    others = half.trajectories().replace('"train"', '"validation"')
    clone = repo({**half.files("merge: auto\n"), **files, "trajectories/triage/2026.jsonl": others})
    with Repository.open(clone.root) as repository:
        short = untrusted(read_project(repository.revision(repository.base()), "triage"))
    assert short is not None
    assert short.lines == lines
    clone.commit({"runbooks/triage/policy.yaml": f"merge: auto\ntrust: {{{', '.join(lines)}}}\n"})
    with Repository.open(clone.root) as repository:
        assert untrusted(read_project(repository.revision(repository.base()), "triage")) is None


def test_of_all_patterns_that_cover_a_file_the_least_counts_in_whatever_order_they_stand() -> None:
    levels = [("trajectories/x/**", "internal"), ("trajectories/x/partner/", "partner")]
    for given in (Given(dict(levels)), Given(dict(reversed(levels)))):  # type: ignore[arg-type]
        assert given.to("trajectories/x/partner/2026/a.jsonl") == "partner"
        assert given.to("trajectories/x/a.jsonl") == "internal"
        assert given.to("trajectories/y/a.jsonl") == "public"
