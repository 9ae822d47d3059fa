"""`runbookopt verify`: the status check of a pull request, whoever wrote it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbookopt.cli.flags import Json, forge_of, settings_of
from runbookopt.cli.terminal import complain, print_json, say, say_reasons

if TYPE_CHECKING:
    from runbookopt.forge.git.repository import Repository
    from runbookopt.forge.protocol import Forge
    from runbookopt.landing.merge import Derived
    from runbookopt.landing.trial_merge import Case
    from runbookopt.landing.verify import Verified
    from runbookopt.project.policy import Reason

_WAYS = {
    "auto": "may merge by itself",
    "review": "needs people to agree",
    "none": "is not what it says",
    None: "is no matter of ours",
}

Number = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, show_default=False, help="The pull request, with its approvals."),
]
Base = Annotated[
    str | None,
    typer.Option(metavar="REV", show_default=False, help="What the head was made from: with --head."),
]
Head = Annotated[
    str | None,
    typer.Option(
        metavar="REV",
        show_default=False,
        help="The commit to judge; with --pull-request, its head or what a merge queue made of it.",
    ),
]
RerunProof = Annotated[
    bool,
    typer.Option(
        "--rerun-proof",
        help="Also run a proposal's proof again, which costs 2 x held-out tasks x repeats rollouts.",
    ),
]
Post = Annotated[
    bool, typer.Option("--post", help="Also write a check run with the reasons, where the token may.")
]


def verify(
    *,
    pull_request: Number = None,
    base: Base = None,
    head: Head = None,
    rerun_proof: RerunProof = False,
    json: Json = False,
    post: Post = False,
) -> None:
    """Judge a pull request: everything is derived anew from origin's default branch and the ledger.

    Nothing of the head is run or believed. What runbookopt proposed must be the one change of its bundle;
    guard, statistics, model-free verdicts and decision are derived again, and what goes to review waits for
    the approvals of the policy. What people wrote is linted, and waits for those whom today's policy names:
    for two of them where a runbook and what judges it are changed together. Tasks, references and labels
    judge too: it is said how many tasks come of which part, and what share of the held-out tasks is theirs.
    With --base and --head alone it is not known who approved, and unknown is not yes.

    With --rerun-proof both runbooks of a proposal to which nothing but an approval is missing are rolled out
    again on the held-out tasks of its proof, and it passes only where the proof is accepted again. An agent
    then follows the head's text, and that costs 2 x tasks x repeats rollouts (repeats: 1 for a deterministic
    agent, else the policy's). Agent, budget and width are those of the default branch's runbookopt.yaml and
    of the environment, which has the keys. No look is spent, since no search learns of it; the same head,
    asked about again, is not paid again.

    Exit status: 0 where it may be merged, or touches no runbook; 3 where not; 1 where that cannot be said.
    """
    from runbookopt.documents.schema_errors import plain
    from runbookopt.errors import WrongUsage
    from runbookopt.forge.git.output import GitFailed
    from runbookopt.forge.git.repository import Repository
    from runbookopt.landing.verify import verify_commits, verify_pull_request

    if (pull_request is None) == (base is None) or (base is not None and head is None):
        raise WrongUsage("expected --pull-request N, or --base REV and --head REV")
    rerun = _rerun if rerun_proof else None
    with Repository.open(Path.cwd()) as repository:
        if not repository.has_origin():
            raise GitFailed("there is no origin, so nothing to judge by: git remote add origin URL")
        forge = _forge(repository, needed=bool(pull_request or post))
        now = datetime.now(UTC)
        if pull_request is not None and forge is not None:
            verified = verify_pull_request(repository, forge, pull_request, head or None, rerun, now=now)
        else:
            verified = verify_commits(repository, base or "", head or "", rerun, now=now)
        if json:
            # plain, since names of files may be no Unicode
            lines = (reason.told.split("\n") for reason in verified.reasons)
            print_json(verified, reasons=["\n".join(map(plain, each)) for each in lines])
        else:
            _show(verified)
        if post and forge is not None:
            _post(forge, verified)
    raise typer.Exit(0 if verified.passes else 3)


def _forge(repository: "Repository", *, needed: bool) -> "Forge | None":
    """The forge; its token is also what git shows to origin, so it is taken where there is one."""
    from runbookopt.forge.github.credentials import NoToken

    try:
        return forge_of(repository, settings_of(repository.root, "", {}))
    except NoToken:
        if needed:
            raise
        return None


def _rerun(case: "Case", derived: "Derived") -> "Reason":
    """Run a proof again, apart from any token: the only place of this half that knows an agent."""
    from runbookopt.cli import apart, custody
    from runbookopt.cli.job import interruptible, told
    from runbookopt.errors import Invalid, RunbookoptError

    name = derived.checked.bundle.runbook
    try:
        with interruptible(name):
            if custody.holds():
                order = apart.Order("rerun", name, head=case.head, tip=case.tip)
                return apart.proved_again(case.repository, order)
            return apart.prove_again_here(case, derived)
    except Invalid as error:
        raise RunbookoptError(told(name, error)) from None


def _show(verified: "Verified") -> None:
    word, by = "passes" if verified.passes else "does not pass", verified.written_by
    say(f"{word}: {verified.head[:12]}{f', by {by},' if by else ''} {_WAYS[verified.merge]}")
    if verified.runbooks:
        say(f"touches {', '.join(verified.runbooks)}; judged by {verified.tip[:12]} of the default branch")
    say_reasons(verified.reasons)


def _post(forge: "Forge", verified: "Verified") -> None:
    """Write the check run; that it cannot be written is said, and changes nothing."""
    from runbookopt.forge.git.output import GitFailed
    from runbookopt.landing.verify import check_run

    try:
        forge.report(check_run(verified))
    except GitFailed as error:
        complain(f"no check run is written: {' '.join(str(error).split())}")
