"""Rules of a branch at GitHub: classic protection and rulesets, read into one record (pure; no PyGithub)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from runbookopt.forge.github.answers import read
from runbookopt.forge.protection import Protection, RequiredCheck


class _Check(Struct, frozen=True):
    context: str
    app_id: int | None = None
    integration_id: int | None = None


class _Login(Struct, frozen=True):
    login: str = ""
    slug: str = ""


class _Allowances(Struct, frozen=True):
    users: tuple[_Login, ...] = ()
    teams: tuple[_Login, ...] = ()
    apps: tuple[_Login, ...] = ()


class _Reviews(Struct, frozen=True):
    dismiss_stale_reviews: bool = False
    require_code_owner_reviews: bool = False
    require_last_push_approval: bool = False
    required_approving_review_count: int = 0
    bypass_pull_request_allowances: _Allowances = _Allowances()


class _Checks(Struct, frozen=True):
    strict: bool = False
    contexts: tuple[str, ...] = ()
    checks: tuple[_Check, ...] = ()


class _Switch(Struct, frozen=True):
    enabled: bool = False


class _Classic(Struct, frozen=True):
    required_status_checks: _Checks | None = None
    required_pull_request_reviews: _Reviews | None = None
    enforce_admins: _Switch = _Switch()
    restrictions: _Allowances | None = None
    lock_branch: _Switch = _Switch()
    required_conversation_resolution: _Switch = _Switch()
    required_signatures: _Switch = _Switch()


class _Workflow(Struct, frozen=True):
    path: str = ""


class _Parameters(Struct, frozen=True):
    required_approving_review_count: int = 0
    dismiss_stale_reviews_on_push: bool = False
    require_code_owner_review: bool = False
    require_last_push_approval: bool = False
    allowed_merge_methods: tuple[str, ...] | None = None
    strict_required_status_checks_policy: bool = False
    required_status_checks: tuple[_Check, ...] = ()
    required_review_thread_resolution: bool = False
    required_reviewers: tuple[object, ...] = ()
    workflows: tuple[_Workflow, ...] = ()


class _Rule(Struct, frozen=True):
    type: str
    ruleset_id: int = 0
    ruleset_source_type: str = "Repository"
    parameters: _Parameters = _Parameters()


class _Actor(Struct, frozen=True):
    actor_type: str
    actor_id: int | None = None
    bypass_mode: str = "always"


class _Ruleset(Struct, frozen=True):
    """A ruleset; `bypass_actors` is left out for whoever may not change it."""

    id: int
    bypass_actors: tuple[_Actor, ...] | None = None


def rulesets_of(rules: object) -> dict[int, str]:
    """The ids of the rulesets behind the rules of a branch, with what owns each."""
    return {rule.ruleset_id: rule.ruleset_source_type for rule in read(rules, list[_Rule])}


def combined(
    branch: str,
    *,
    classic: object,
    rules: object,
    rulesets: Iterable[object] = (),
    unread: Sequence[str] = (),
) -> Protection:
    """Put together what `/branches/B/protection`, `/rules/branches/B` and `/rulesets/N` answered.

    `classic` and `rules` are None where there is nothing; `unread` says which of them were not shown.
    A ruleset that is not among `rulesets` does not tell who may pass by it.
    """
    shown = [read(each, _Ruleset) for each in rulesets]
    actors = {each.id: each.bypass_actors for each in shown if each.bypass_actors is not None}
    in_force = read(rules or [], list[_Rule])
    numbers = dict.fromkeys(rule.ruleset_id for rule in in_force)
    sources = [_ruleset(branch, number, in_force, actors.get(number)) for number in numbers]
    if classic is not None:
        sources.insert(0, _classic(branch, read(classic, _Classic)))
    bypass = tuple(dict.fromkeys(who for source in sources for who in source.bypass or ()))
    hidden = bool(unread) or any(source.bypass is None for source in sources)
    limited = [set(source.methods) for source in sources if source.methods is not None]

    def any_of(name: str) -> bool | None:
        if any(getattr(source, name) for source in sources):
            return True
        return None if unread else False

    return Protection(
        branch=branch,
        sources=tuple(name for source in sources for name in source.sources),
        unread=tuple(unread),
        checks=tuple(dict.fromkeys(check for source in sources for check in source.checks)),
        strict=any_of("strict"),
        pull_request=any_of("pull_request"),
        approvals=max((source.approvals or 0 for source in sources), default=0) or (None if unread else 0),
        dismisses_stale=any_of("dismisses_stale"),
        code_owners=any_of("code_owners"),
        last_push=any_of("last_push"),
        merge_queue=any_of("merge_queue"),
        others=tuple(dict.fromkeys(other for source in sources for other in source.others)),
        methods=tuple(sorted(set.intersection(*limited))) if limited else None,
        bypass=None if hidden else bypass,
        bypass_known=bypass,
    )


def _classic(branch: str, classic: _Classic) -> Protection:
    checks = classic.required_status_checks or _Checks()
    reviews = classic.required_pull_request_reviews or _Reviews()
    free = reviews.bypass_pull_request_allowances
    named = [f"@{each.login or each.slug}" for each in (*free.users, *free.teams, *free.apps)]
    admins = [] if classic.enforce_admins.enabled else ["administrators"]
    pinned = {check.context for check in checks.checks}
    return Protection(
        branch=branch,
        sources=("classic",),
        checks=(
            *(_required(check) for check in checks.checks),
            *(RequiredCheck(name) for name in checks.contexts if name not in pinned),
        ),
        strict=checks.strict,
        pull_request=classic.required_pull_request_reviews is not None,
        approvals=reviews.required_approving_review_count,
        dismisses_stale=reviews.dismiss_stale_reviews,
        code_owners=reviews.require_code_owner_reviews,
        last_push=reviews.require_last_push_approval,
        others=tuple(_others_of_classic(classic)),
        bypass=(*named, *admins),
    )


def _ruleset(branch: str, number: int, rules: list[_Rule], actors: tuple[_Actor, ...] | None) -> Protection:
    mine = {rule.type: rule.parameters for rule in rules if rule.ruleset_id == number}
    reviews = mine.get("pull_request", _Parameters())
    checks = mine.get("required_status_checks", _Parameters())
    return Protection(
        branch=branch,
        sources=(f"ruleset {number}",),
        checks=tuple(_required(check) for check in checks.required_status_checks),
        strict=checks.strict_required_status_checks_policy,
        pull_request="pull_request" in mine,
        approvals=reviews.required_approving_review_count,
        dismisses_stale=reviews.dismiss_stale_reviews_on_push,
        code_owners=reviews.require_code_owner_review,
        last_push=reviews.require_last_push_approval,
        merge_queue="merge_queue" in mine,
        others=tuple(_others_of_rules(mine)),
        methods=reviews.allowed_merge_methods,
        bypass=None if actors is None else tuple(_named(actor) for actor in actors),
    )


_THREADS = "all conversations must be resolved"
_SIGNED = "commits must be signed, and those of runbookopt are not"
_BEHIND = "the branch must be up to date: what falls behind waits until somebody updates it"
_LOCKED = "the branch is locked: nothing is merged into it"
_HOLDING = {
    "code_scanning": "code scanning must have results",
    "code_quality": "code quality must have results",
    "required_deployments": "deployments must succeed first",
    "required_signatures": _SIGNED,
    "update": "only those who may bypass update the branch",
}
_HARMLESS = frozenset(
    {
        "branch_name_pattern",
        "commit_author_email_pattern",
        "commit_message_pattern",
        "committer_email_pattern",
        "copilot_code_review",
        "creation",
        "deletion",
        "file_extension_restriction",
        "file_path_restriction",
        "max_file_path_length",
        "max_file_size",
        "merge_queue",
        "non_fast_forward",
        "pull_request",
        "required_linear_history",
        "required_status_checks",
        "tag_name_pattern",
    }
)
"""Kinds of rules that hold no pull request of ours back, or that are asked about by name."""


def _others_of_classic(classic: _Classic) -> Iterator[str]:
    """What else holds a merge back in classic protection."""
    if classic.lock_branch.enabled:
        yield _LOCKED
    if classic.restrictions is not None:
        may = (*classic.restrictions.users, *classic.restrictions.teams, *classic.restrictions.apps)
        named = ", ".join(each.login or each.slug for each in may) or "nobody"
        yield f"only these may push, and so merge: {named}"
    if classic.required_conversation_resolution.enabled:
        yield _THREADS
    if classic.required_signatures.enabled:
        yield _SIGNED
    if classic.required_status_checks is not None and classic.required_status_checks.strict:
        yield _BEHIND


def _others_of_rules(rules: Mapping[str, _Parameters]) -> Iterator[str]:
    """What else holds a merge back in a ruleset; a kind that is not known yet is named, and may hold."""
    for kind, parameters in rules.items():
        if kind in _HOLDING:
            yield _HOLDING[kind]
        elif kind == "workflows":
            paths = ", ".join(each.path for each in parameters.workflows) or "of the organization"
            yield f"workflows must succeed: {paths}"
        elif kind not in _HARMLESS:
            yield f"a rule of a kind that is not known yet: {kind}"
        if parameters.required_review_thread_resolution:
            yield _THREADS
        if parameters.required_reviewers:
            yield "certain teams must review certain files (required reviewers)"
        if parameters.strict_required_status_checks_policy:
            yield _BEHIND


def _required(check: _Check) -> RequiredCheck:
    app = check.app_id if check.app_id is not None else check.integration_id
    return RequiredCheck(check.context, None if app == -1 else app)  # -1: GitHub's word for any


def _named(actor: _Actor) -> str:
    number = "" if actor.actor_id is None else f" {actor.actor_id}"
    mode = "" if actor.bypass_mode == "always" else f" ({actor.bypass_mode})"
    return f"{actor.actor_type}{number}{mode}"
