"""`runbookopt audit`: the held-out pairs whose verdict changed, shown blind to a person before a merge."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runbookopt.cli.flags import Json, forge_of, runbooks_here, settings_of
from runbookopt.cli.root import named
from runbookopt.cli.terminal import complain, print_json, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runbookopt.forge.git.repository import Repository
    from runbookopt.forge.protocol import Forge
    from runbookopt.jobs.verifiers.audit import Ended, Ready, Shown, Sitting
    from runbookopt.proof.audits import Answer

Name = Annotated[str, typer.Argument(metavar="NAME", help="A runbook's name.", autocompletion=runbooks_here)]
Pull = Annotated[
    int | None,
    typer.Option(
        "--pull", metavar="N", min=1, show_default=False, help="Its pull request; the open one by default."
    ),
]
Terminal = Annotated[bool, typer.Option("--terminal", help="Ask in the terminal, not in a local page.")]
Judge = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        show_default=False,
        help="Let a stronger model answer. It is named as a model's, and stands for no person.",
    ),
]

_KEYS: "Mapping[str, Answer]" = {"l": "left", "r": "right", "e": "equal", "s": "skip"}


def audit(
    name: Name,
    *,
    pull: Pull = None,
    terminal: Terminal = False,
    judge: Judge = None,
    json: Json = False,
) -> None:
    """Compare, blind, the outputs on held-out pairs whose verdict changed from today's runbook to the winner.

    A judge that misses more of the winner's failures than of today's invents a gain, and more tasks only make
    it surer. So somebody looks where it changed its mind: at 30 such pairs (`audit_pairs` in policy.yaml; all
    where there are fewer, at most one of each group), both outputs beside one another, in random order, not
    told which is whose. It confirms the gain where the winner's output is the better one significantly more
    often (one-sided sign test, .05; what is equal or skipped speaks for neither; fewer than five pairs never
    do).

    Nothing is run: the outputs are those of the recorded look. Each answer is kept as it is given, and the
    same command goes on from there. The tasks that were shown count as read from then on: no later proof
    rests on them. The answers become an entry of the ledger, which counts where one of the policy's reviewers
    says, at the forge, that it is theirs.

    Exit status: 0 where the gain is confirmed, 3 where it is not.
    """
    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.verifiers.audit import begun, kept_answers, prepared, sitting

    with Repository.open(Path.cwd()) as repository:
        name = named(repository.root, name)
        forge = forge_of(repository, settings_of(repository.root, name, {}))
        kept = kept_answers(repository, name)
        ready = prepared(repository, forge, name, pull, kept.seed)
        if judge is not None:
            ended = _judged(repository, forge, ready, judge)
        else:
            begun(repository, ready, _now())
            end = _ending(repository, forge, ready)
            ended = (_in_terminal if terminal else _in_page)(sitting(ready, kept), end)
    if json:
        print_json(ended)
    else:
        say(_found(ended))
        say(_next(ended))
    raise typer.Exit(0 if ended.confirms else 3)


def _ending(
    repository: "Repository", forge: "Forge", ready: "Ready"
) -> "Callable[[Mapping[str, Answer]], Ended]":
    """How a person's answers are written down."""
    from runbookopt.jobs.verifiers.audit import Signed, recorded

    by = repository.identity() or repository.person().email
    return lambda answers: recorded(repository, forge, ready, answers, Signed(by, _now()))


def _judged(repository: "Repository", forge: "Forge", ready: "Ready", model: str) -> "Ended":
    """Have a model answer, in a process that never had the forge's token where there is one."""
    from runbookopt.cli import apart, custody
    from runbookopt.cli.job import interruptible
    from runbookopt.jobs.verifiers.audit import Signed, recorded
    from runbookopt.jobs.verifiers.audit_judge import stand_in

    sheet = ready.sheet
    with interruptible(sheet.runbook, "nothing is written down"):
        order = apart.Order("audit", sheet.runbook, pairs=sheet.pairs, judge=stand_in(model, ready.judge))
        apart_from_it = custody.holds()
        answers = apart.compared_by_judge(repository, order) if apart_from_it else apart.compare_here(order)
    by = repository.identity() or repository.person().email
    return recorded(repository, forge, ready, answers, Signed(by, _now(), judge=model))


def _in_page(audit: "Sitting", end: "Callable[[Mapping[str, Answer]], Ended]") -> "Ended":
    """Serve the page until all is answered and written down."""
    import msgspec

    from runbookopt.cli.job import interruptible
    from runbookopt.jobs.verifiers.audit import Given
    from runbookopt.pages.server import page_named, serving

    ended: list[Ended] = []

    def finish(_: Any) -> dict[str, str]:  # noqa: ANN401 - whatever the page sends
        ended.append(end(audit.answers))
        served.end()
        return {"found": _found(ended[-1]), "next": _next(ended[-1])}

    answers: dict[str, Callable[[Any], object]] = {
        "start": lambda _: audit.start(),
        "answer": lambda sent: audit.answer(msgspec.convert(sent, Given)),
        "end": finish,
    }
    with interruptible(audit.sheet.runbook, _LEFT), serving(page_named("audit.html"), answers) as served:
        complain(f"{len(audit.left)} pairs to compare: open {served.address}")
        complain("whoever knows this address can answer; Ctrl-C ends it, and what was answered is kept")
        served.wait()
    return ended[-1]


def _in_terminal(audit: "Sitting", end: "Callable[[Mapping[str, Answer]], Ended]") -> "Ended":
    """Ask in the terminal, a pair at a time; an answer is a letter and Enter."""
    from runbookopt.cli.job import interruptible
    from runbookopt.errors import Interrupted
    from runbookopt.jobs.verifiers.audit import Given

    pairs = audit.sheet.pairs
    place = next((at for at, pair in enumerate(pairs) if pair.task not in audit.answers), len(pairs))
    with interruptible(audit.sheet.runbook, _LEFT):
        while place < len(pairs):
            _show(pairs[place], f"pair {place + 1} of {len(pairs)}")
            key = _key()
            if key == "q":
                raise Interrupted(f"{audit.sheet.runbook}: {len(audit.left)} pairs are left; {_LEFT}")
            if key == "u":
                place = max(0, place - 1)
            else:
                audit.answer(Given(pairs[place].task, _KEYS[key]))
                place += 1
        return end(audit.answers)


_LEFT = "what was answered is kept, and the same command goes on from there"


def _show(pair: "Shown", where: str) -> None:
    from runbookopt.documents.schema_errors import plain

    texts = {"task": pair.input, "expected": pair.expected, "LEFT": pair.left, "RIGHT": pair.right}
    complain(f"\n== {where} ==")
    for what, text in texts.items():
        if text is None and what == "expected":
            continue
        complain(f"-- {what} --")
        for line in ("(no output)" if text is None else text).split("\n"):
            complain(f"   {plain(line)}")


def _key() -> str:
    """A key that means something; the end of the input is the wish to go."""
    while True:
        complain("which is better? l left, r right, e equal, s skip, u back, q quit")
        try:
            said = input().strip().casefold()[:1]
        except EOFError:
            return "q"
        if said in {*_KEYS, "u", "q"}:
            return said


def _found(ended: "Ended") -> str:
    found = ended.found
    who = f"{ended.judge} (a model)" if ended.judge else "You"
    seen = f"{found.pairs} of {ended.changed} pairs whose verdict changed"
    sides = f"the winner's output is better in {found.wins}, today's in {found.losses}, none in {found.ties}"
    word = "this confirms the gain" if ended.confirms else "this does not confirm the gain (p <= 0.05 would)"
    return f"{who} compared {seen}: {sides}; p = {found.p:.2g}, {word}."


def _next(ended: "Ended") -> str:
    told = f"Audit {ended.audit} is in the ledger"
    counts = f"It counts for pull request {ended.pull_request}."
    return f"{told}. {counts}" if ended.counts else f"{told}. It does not count yet: {ended.next}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
