# ruff: noqa: INP001
"""Trial of GitHub itself: settles what no double of it can, with a throwaway repository and an app.

    export TRIAL_TOKEN=...            a token of an administrator of it (classic: repo, workflow)
    export TRIAL_APP_ID=...           an app that is installed there: contents, pull requests, checks: write
    export TRIAL_APP_KEY_FILE=...     the .pem file of its private key
    python docs/github_trial.py OWNER/NAME            says each step, what it would change, what is expected
    python docs/github_trial.py OWNER/NAME --run      does it: the repository's settings and branches change

Every step prints what was expected and what GitHub did. Send that with a report: it holds no token.
"""

import argparse
import base64
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt

VARIABLES = ("TRIAL_TOKEN", "TRIAL_APP_ID", "TRIAL_APP_KEY_FILE")
CHECK = "runbookopt verify"
ACTIONS_APP = 15368
PERMISSIONS = {
    "contents": "write",
    "pull_requests": "write",
    "issues": "write",
    "checks": "write",
    "administration": "read",
    "members": "read",
}
SECONDS = 60
FORGED = f"""name: forged
on: push
permissions: {{}}
jobs:
  forged:
    name: {CHECK}
    runs-on: ubuntu-latest
    steps:
      - run: "true"
"""
ENABLE = """mutation($id: ID!) {
  enablePullRequestAutoMerge(input: {pullRequestId: $id, mergeMethod: SQUASH}) { clientMutationId }
}"""
STATE = """query($id: ID!) { node(id: $id) { ... on PullRequest { mergeStateStatus merged } } }"""


class NotDone(Exception):
    """A request that GitHub refused, in its words."""


@dataclass
class Trial:
    """A repository at GitHub, and the two tokens that act on it; neither is in a repr."""

    repository: str
    api: str = "https://api.github.com"
    person: str = field(default="", repr=False)
    app: str = field(default="", repr=False)
    installation: str = ""
    pull: dict[str, Any] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: object = None, *, token: str = "") -> Any:  # noqa: ANN401
        """Give GitHub's answer; `~` is the repository. Raises NotDone."""
        url = self.api + path.replace("~", f"/repos/{self.repository}", 1)
        data = None if body is None else json.dumps(body).encode()
        head = {"Authorization": f"Bearer {token or self.person}", "Accept": "application/vnd.github+json"}
        request = urllib.request.Request(url, data, head, method=method)  # noqa: S310 - https, or loopback
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            words = error.read().decode(errors="replace")[:300]
            raise NotDone(f"{error.code}: {' '.join(words.split())}") from None
        except OSError as error:
            raise NotDone(f"no answer: {error}") from None

    def query(self, text: str, **variables: object) -> Any:  # noqa: ANN401
        """Give the data of GraphQL's answer, as the app. Raises NotDone."""
        place = "/graphql" if self.api == "https://api.github.com" else "/../graphql"
        answer = self.ask("POST", place, {"query": text, "variables": variables}, token=self.app)
        if answer.get("errors"):
            raise NotDone(json.dumps(answer["errors"])[:300])
        return answer["data"]


Step = Callable[[Trial], Iterator[str]]
STEPS: list[tuple[str, str, Step]] = []
"""What a step is for, what is expected, and the step, which tells what it finds."""


def step(what: str, expected: str) -> Callable[[Step], Step]:
    """Add a step."""

    def add(found: Step) -> Step:
        STEPS.append((what, expected, found))
        return found

    return add


@step(
    "ask for the app's token, permission by permission (changes nothing)",
    "one that the installation lacks is refused with 422, and the others are given",
)
def permissions(trial: Trial) -> Iterator[str]:
    """Settle which permissions can be asked for together."""
    granted = {}
    for name, level in PERMISSIONS.items():
        try:
            _new_token(trial, {name: level})
        except NotDone as error:
            yield f"{name}: {level} is refused: {error}"
        else:
            granted[name] = level
            yield f"{name}: {level} is given"
    try:
        _new_token(trial, PERMISSIONS)
        yield "all together are given"
    except NotDone as error:
        yield f"all together are refused: {error}"
    trial.app = _new_token(trial, granted)


@step(
    "read the repository as the app (changes nothing)",
    "`permissions` says nothing of what the app may; protections are shown with administration: read alone",
)
def role(trial: Trial) -> Iterator[str]:
    """Settle what an app is shown of itself."""
    yield f"permissions: {json.dumps(trial.ask('GET', '~', token=trial.app).get('permissions'))}"
    for path in ("~/branches/main/protection", "~/rules/branches/main"):
        try:
            trial.ask("GET", path, token=trial.app)
            yield f"{path} is shown"
        except NotDone as error:
            yield f"{path}: {error}"


@step(
    f"require the check `{CHECK}` of GitHub Actions on main, and allow auto-merge (changes settings)",
    "200; a private repository of the Free plan answers 403",
)
def protect(trial: Trial) -> Iterator[str]:
    """Bring main under the protection that auto-merge needs."""
    trial.ask("PATCH", "~", {"allow_auto_merge": True})
    wanted = {
        "required_status_checks": {"strict": False, "checks": [{"context": CHECK, "app_id": ACTIONS_APP}]},
        "enforce_admins": True,
        "required_pull_request_reviews": {
            "dismiss_stale_reviews": True,
            "required_approving_review_count": 0,
        },
        "restrictions": None,
    }
    trial.ask("PUT", "~/branches/main/protection", wanted)
    yield "main is protected"


@step(
    "open a pull request as the app, and ask for auto-merge at once, each second (opens a pull request)",
    "accepted; or refused as clean or unstable for some seconds, until the checks have begun",
)
def just_opened(trial: Trial) -> Iterator[str]:
    """Settle how long a new pull request counts as one that waits for nothing."""
    branch = f"runbookopt/trial-{int(time.monotonic() * 1000)}"
    _branch(trial, branch, {"trial.md": "A line of a trial.\n"}, trial.app)
    wanted = {"head": branch, "base": "main", "title": "Trial of runbookopt"}
    trial.pull = trial.ask("POST", "~/pulls", wanted, token=trial.app)
    for second in range(SECONDS):
        try:
            trial.query(ENABLE, id=trial.pull["node_id"])
        except NotDone as error:
            yield f"after {second} s: {error}"
            time.sleep(1)
        else:
            yield f"after {second} s: auto-merge is on"
            return
    yield f"not within {SECONDS} s"


@step(
    f"write a check run `{CHECK}` as the app (forges the check)",
    "the pull request stays blocked: the check is required from GitHub Actions",
)
def forged_by_the_app(trial: Trial) -> Iterator[str]:
    """Settle whether a check of another app counts."""
    forged = {"name": CHECK, "head_sha": trial.pull["head"]["sha"], "status": "completed"}
    trial.ask("POST", "~/check-runs", {**forged, "conclusion": "success"}, token=trial.app)
    yield from _state(trial)


@step(
    f"write a commit status `{CHECK}` as a person (forges the check)",
    "the pull request stays blocked",
)
def forged_by_a_status(trial: Trial) -> Iterator[str]:
    """Settle whether a commit status counts."""
    sha = trial.pull["head"]["sha"]
    trial.ask("POST", f"~/statuses/{sha}", {"state": "success", "context": CHECK})
    yield from _state(trial)


@step(
    f"push a workflow with a job `{CHECK}` to the branch (forges the check; the pull request may be merged)",
    "it is merged: any workflow speaks as GitHub Actions. Only an app of one's own closes this",
)
def forged_by_a_workflow(trial: Trial) -> Iterator[str]:
    """Settle whether any workflow of a branch can report the check."""
    path = ".github/workflows/forged.yml"
    wanted = {"message": "Forge", "content": _base64(FORGED), "branch": trial.pull["head"]["ref"]}
    trial.ask("PUT", f"~/contents/{path}", wanted)
    for _ in range(SECONDS):
        time.sleep(5)
        told = list(_state(trial))
        if "merged" in told[0]:
            break
    yield from told


@step("close the pull request, and take the protection away (changes settings)", "204")
def clean_up(trial: Trial) -> Iterator[str]:
    """Leave the repository as it was."""
    if trial.pull:
        number, ref = trial.pull["number"], trial.pull["head"]["ref"]
        trial.ask("PATCH", f"~/pulls/{number}", {"state": "closed"})
        trial.ask("DELETE", f"~/git/refs/heads/{ref}")
    trial.ask("DELETE", "~/branches/main/protection")
    yield "closed, deleted, unprotected"


def _new_token(trial: Trial, wanted: dict[str, str]) -> str:
    path = f"/app/installations/{trial.installation}/access_tokens"
    body = {"permissions": wanted, "repositories": [trial.repository.partition("/")[2]]}
    return str(trial.ask("POST", path, body, token=signed())["token"])


def signed() -> str:
    """Give the app's word for itself, for five minutes."""
    key = Path(os.environ["TRIAL_APP_KEY_FILE"]).read_text(encoding="ascii")
    now = int(time.time())  # noqa: TID251 - GitHub's clock is what counts
    claims = {"iat": now - 60, "exp": now + 300, "iss": os.environ["TRIAL_APP_ID"]}
    return str(jwt.encode(claims, key, algorithm="RS256"))


def _branch(trial: Trial, branch: str, files: dict[str, str], token: str) -> None:
    base = trial.ask("GET", "~/git/ref/heads/main", token=token)["object"]["sha"]
    trial.ask("POST", "~/git/refs", {"ref": f"refs/heads/{branch}", "sha": base}, token=token)
    for path, text in files.items():
        wanted = {"message": "Trial", "content": _base64(text), "branch": branch}
        trial.ask("PUT", f"~/contents/{path}", wanted, token=token)


def _state(trial: Trial) -> Iterator[str]:
    node = trial.query(STATE, id=trial.pull["node_id"])["node"]
    yield "merged" if node["merged"] else f"mergeStateStatus: {node['mergeStateStatus']}"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Say the steps, or do them."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("repository", metavar="OWNER/NAME", help="a repository that may be spoiled")
    words.add_argument("--run", action="store_true", help="do the steps; else nothing is asked or changed")
    told = words.parse_args()
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if told.run and missing:
        words.error(f"set {', '.join(missing)}")
    trial = Trial(told.repository, os.environ.get("GITHUB_API_URL", Trial.api).rstrip("/"))
    trial.person = os.environ.get("TRIAL_TOKEN", "")
    failed = 0
    if told.run:
        try:
            trial.installation = str(trial.ask("GET", "~/installation", token=signed())["id"])
        except (NotDone, OSError) as error:
            _say(f"the app is not installed there, or its key is not its own: {error}")
            return 1
    for number, (what, expected, run) in enumerate(STEPS, start=1):
        _say(f"{number}. {what}\n   expected: {expected}")
        if not told.run:
            continue
        try:
            for line in run(trial):
                _say(f"   found: {line}")
        except (NotDone, KeyError) as error:
            failed += 1
            _say(f"   not settled: {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
