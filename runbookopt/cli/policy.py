"""`runbookopt policy`: the enforcement of policies at the forge, and the way that a change goes."""

from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbookopt.cli.flags import Json, authorize, forge_of, group, settings_of
from runbookopt.cli.propose import bundle_at
from runbookopt.cli.root import named, whole
from runbookopt.cli.terminal import print_json, say, say_reasons

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbookopt.forge.git.repository import Repository
    from runbookopt.forge.protocol import Forge
    from runbookopt.landing.bundle import Bundle
    from runbookopt.landing.explain import Explained
    from runbookopt.landing.requirements import Declared, Enforced, Requirement
    from runbookopt.project.policy import Policy

app = group("policy", "The merge policies: what enforces them, and what they say of a change.")


@app.command()
def check(*, json: Json = False) -> None:
    """Hold the policies of the default branch against what the forge enforces there.

    For each gap: what could happen, and the setting that closes it. What the token is not shown is unknown,
    and unknown is not yes. Nothing is changed, here or there.

    Exit status: 0 where everything is known to hold, 1 where something does not or is unknown.
    """
    from runbookopt.errors import RunbookoptError
    from runbookopt.landing.protection_audit import requirements
    from runbookopt.landing.requirements import declared, enforced

    with _forge("") as (repository, forge):
        revision, branch = repository.revision(repository.base()), repository.origin.default_branch()
        policies = declared(revision)
        if not policies:
            raise RunbookoptError(f"there is no runbook on {branch}: expected runbooks/NAME/RUNBOOK.md")
        enforcement = enforced(forge, revision, branch, policies)
        required = requirements(policies, enforcement)
    if json:
        print_json(_as_json(policies, enforcement, required))
    else:
        _show(policies, enforcement, required)
    raise typer.Exit(0 if all(requirement.holds for requirement in required) else 1)


@app.command()
def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME|BUNDLE|PR", help="A runbook, the file of a bundle, or a pull request's number."
        ),
    ],
    *,
    text: Annotated[
        Path | None,
        typer.Option(
            "--with",
            metavar="FILE",
            help="Another text of NAME: say what guard and policy think of it, if it were proved.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say which way a change goes, with every reason for and against.

    A runbook's name means its open pull request, else what its policy would ask of the next change. All is
    derived anew from git, as a merge would; nothing is written.
    """
    from runbookopt.forge.git.repository import Repository

    if text is not None:
        _explain_text(what, text, json=json)
        return
    bundle = None
    if what.endswith(".json"):
        with Repository.open(Path.cwd()) as repository:
            bundle = bundle_at(repository, Path(what))
    if bundle is None and not what.isdecimal() and (top := whole(Path.cwd())) is not None:
        what = named(top, what)
    with _forge(bundle.runbook if bundle else "" if what.isdecimal() else what) as (repository, forge):
        explained = _explained(repository, forge, bundle or what)
    if json:
        print_json(explained, reasons=[reason.told for reason in explained.reasons])
        return
    words = {"auto": "may merge by itself", "review": "goes to review", "none": "nothing is to be merged"}
    verdict = f"{explained.about}: {words[explained.merge]}"
    if explained.merge != "none" and explained.granted is not None:
        verdict += f", and may {'' if explained.granted else 'not '}be merged now"
    say(verdict)
    say_reasons(explained.reasons)


def _explain_text(name: str, file: Path, *, json: bool) -> None:
    from runbookopt.forge.git.repository import Repository
    from runbookopt.landing.explain import explain_text

    text = _text_of(file)
    with Repository.open(Path.cwd()) as repository:
        name = named(repository.root, name)
        authorize(repository, name)
        found = explain_text(repository, name, text, datetime.now(UTC))
    if json:
        print_json({key: getattr(found, key) for key in ("violations", "introduces", "forms", "merge")})
        return
    words = {
        "auto": "would merge by itself",
        "review": "would go to review",
        "none": "would not be proposed",
    }
    say(f"{name} with {file}, if the proof accepted it: {words[found.merge]}")
    for violation in found.violations:
        say(f"  no      {violation}")
    for line in found.forms:
        say(f"  no form {line}")
    say_reasons(found.reasons)


def _text_of(file: Path) -> str:
    from runbookopt.documents.parse import MAX_BYTES
    from runbookopt.errors import RunbookoptError

    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise RunbookoptError(
            f"{file}: cannot be read: {error.strerror}; expected a runbook's text"
        ) from error
    except UnicodeDecodeError as error:
        raise RunbookoptError(f"{file}: expected a text in UTF-8: {error.reason}") from error
    if len(data) > MAX_BYTES:
        raise RunbookoptError(f"{file}: expected at most {MAX_BYTES:,} bytes")
    return text


def _explained(repository: "Repository", forge: "Forge", what: "Bundle | str") -> "Explained":
    from runbookopt.landing import explain

    now = datetime.now(UTC)
    if not isinstance(what, str):
        return explain.explain_bundle(repository, forge, what, now)
    if what.isdecimal():
        return explain.explain_pull_request(repository, forge, int(what), now)
    return explain.explain_runbook(repository, forge, what, now)


def _show(policies: "Sequence[Declared]", enforcement: "Enforced", required: "Sequence[Requirement]") -> None:
    for each in policies:
        who = f", {each.policy.approvals} approval(s) of {each.policy.who}" if each.policy.who else ""
        say(f"{each.runbook}: merge: {each.policy.merge}{who}{_forms(each.policy)}")
    sources = ", ".join(enforcement.protection.sources) or "nothing that this token is shown"
    say(f"{enforcement.protection.branch} is protected by {sources}")
    for requirement in required:
        say(f"  {requirement.answer:<8} {requirement.name}: {requirement.found}")
        if not requirement.holds:
            say(f"           could happen: {requirement.danger}")
            say(f"           to close it: {requirement.setting}")
    gaps, unknown = (sum(requirement.holds is holds for requirement in required) for holds in (False, None))
    say(f"{gaps} gap(s), {unknown} unknown, {len(required) - gaps - unknown} hold")


def _forms(policy: "Policy") -> str:
    """What may merge by itself, in a phrase: nothing where the policy asks for review."""
    terms = policy.auto_merge_if
    if policy.merge != "auto":
        return ""
    if terms.forms == "any":
        return "; lines of any form merge by themselves, and so does what the guard misses"
    own = terms.own_forms
    ours = [form for form in terms.forms if form not in own]
    return f"; by form: {', '.join([*ours, *([f'{len(own)} of its own'] if own else [])]) or 'none'}"


def _as_json(
    policies: "Sequence[Declared]", enforcement: "Enforced", required: "Sequence[Requirement]"
) -> dict[str, object]:
    from msgspec import to_builtins

    protection = enforcement.protection
    return {
        "branch": protection.branch,
        "sources": protection.sources,
        "unread": protection.unread,
        "policies": {each.runbook: to_builtins(each.policy) for each in policies},
        "holds": all(requirement.holds for requirement in required),
        "demands": [{**to_builtins(requirement), "answer": requirement.answer} for requirement in required],
    }


@contextmanager
def _forge(name: str) -> "Iterator[tuple[Repository, Forge]]":
    from runbookopt.forge.git.output import GitFailed
    from runbookopt.forge.git.repository import Repository

    with Repository.open(Path.cwd()) as repository:
        if not repository.has_origin():
            raise GitFailed("there is no origin, so nothing enforces a policy: git remote add origin URL")
        yield repository, forge_of(repository, settings_of(repository.root, name, {}))
