"""A clone of a repository at the double of GitHub, whose winners are proposed there."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Self

from runbookopt.documents.settings import ForgeSettings
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.github.client import Patience
from runbookopt.forge.protocol import Forge, PullRequest
from runbookopt.forge.select import chosen
from runbookopt.landing.bundle import Bundle
from runbookopt.landing.propose import Proposed, propose
from runbookopt.proof.ledger import Ledger
from tests.github.double import Github

PATH = "runbooks/triage/RUNBOOK.md"
BRANCH = "runbookopt/triage"
CHECK = "runbookopt verify"
QUICK = Patience(for_limits=5, pauses=(0.0,) * 4, between=(0, 0))


class Bench:
    """`bundle(...)` is what the first half made; `propose(...)` lands it as the app does."""

    def __init__(
        self, folder: Path, half: ModuleType, policy: str | None = None, **more: str | bytes
    ) -> None:
        self.folder, self.half = folder, half
        self.github = Github(folder, {**half.files(policy or half.AUTO), **more})
        for login in ("bo", "cy"):
            self.github.add_user(login)
        self.repository = self.cloned("clone")
        self.bundle = half.FirstHalf(self.repository)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.repository.close()
        self.github.__exit__(kind, error, trace)

    def cloned(self, name: str) -> Repository:
        """Give another clone."""
        repository = Repository.open(self.github.clone(self.folder / name))
        self.forge_of(repository)
        return repository

    def environ(self, token: str | None = None) -> dict[str, str]:
        return {"GITHUB_API_URL": self.github.api_url, "GITHUB_TOKEN": token or self.github.token}

    def forge_of(
        self, repository: Repository, patience: Patience = QUICK, environ: Mapping[str, str] = {}
    ) -> Forge:
        return chosen(ForgeSettings(), repository, {**self.environ(), **environ}, patience)

    @property
    def forge(self) -> Forge:
        return self.forge_of(self.repository)

    def propose(self, bundle: Bundle | None = None, token: str | None = None) -> Proposed:
        environ = self.environ(token)
        forge = chosen(ForgeSettings(), self.repository, environ, QUICK)
        return propose(self.repository, forge, bundle or self.bundle())

    def pull(self, bundle: Bundle | None = None, token: str | None = None) -> PullRequest:
        found = self.propose(bundle, token).pull_request
        assert found is not None
        return found

    def candidate(self, phrase: str) -> str:
        text: str = self.half.RUNBOOK
        return text.replace('"card"', f'"card" or "{phrase}"')

    def protected(self, **requirement: object) -> None:
        """Protect main as a team should that lets changes merge by themselves."""
        self.github.protect(**{"checks": [CHECK], "dismiss_stale": True, "approvals": 0, **requirement})

    def looks(self) -> list[str | None]:
        ledger = Ledger.open(self.repository, push=True)
        return [look.answer for look in ledger.looks("triage")]

    def written(self) -> list[str]:
        """Give the changes heard, but for those to the ledger, which git's pushes do not tell apart."""
        return [heard.line for heard in self.github.writes]
