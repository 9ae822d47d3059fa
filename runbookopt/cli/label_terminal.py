"""Labelling in the terminal: the same questions as on the page, one line each."""

from typing import TYPE_CHECKING

from runbookopt.cli.terminal import complain, say, say_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbookopt.cli.terminal import Line
    from runbookopt.jobs.verifiers.labelling import Sitting
    from runbookopt.jobs.verifiers.labelling_shown import Given, Shown

_LINES = 60
"""Lines of a text that are shown, unless all are asked for."""
_WIDE = 2_000

_HELP = (
    "Instead of any answer: :skip  :undo  :quit  :all (all lines)  :steps  :expected  :verdicts  :help",
    "The expected answer and the verdicts are hidden: a label that is given after they were shown says so.",
)


def ask(sitting: "Sitting") -> None:
    """Ask for each trajectory in turn until the last one, `:quit`, or the end of what is typed.

    A command may be given wherever something is asked: of the trajectory nothing is saved then.
    """
    from runbookopt.errors import RunbookoptError
    from runbookopt.jobs.verifiers.labelling_shown import About

    for line in _HELP:
        say(line)
    left, past = list(sitting.order.ids), list[str]()
    while left:
        shown = sitting.item(About(left[0]))
        done = sitting.order.done + len(sitting.saved)
        say("")
        say_lines(
            [((f"{done + 1} of {done + len(left)}  {shown.id}", "bold"), *_about(shown)), *_page(shown)]
        )
        try:
            answer = _answered(sitting, shown)
            if answer == ":quit":
                break
            _take(sitting, answer, left, past)
        except RunbookoptError as error:
            complain(error)
        except EOFError:
            say("")
            break


def _take(sitting: "Sitting", answer: "Given | str", left: list[str], past: list[str]) -> None:
    """Save an answer, or do what a command says; `left` begins with what is asked next."""
    from runbookopt.jobs.verifiers.labelling_shown import About

    if not isinstance(answer, str):
        removed = sitting.save(answer).removed
        past.append(left.pop(0))
        if removed:
            say(f"saved without what nobody may be shown: {removed}")
    elif answer == ":skip":
        left.pop(0)
    elif answer == ":undo" and past:
        left.insert(0, past.pop())
        sitting.withdraw(About(left[0]))
    elif answer == ":undo":
        say("there is nothing to undo")


class _Command(Exception):
    """A command was given in the place of an answer."""


def _asked(question: str) -> str:
    """What is typed. Raises EOFError where nothing more is, _Command where it is one."""
    typed = input(question).strip()
    if typed.startswith(":"):
        raise _Command(typed)
    return typed


def _answered(sitting: "Sitting", shown: "Shown") -> "Given | str":
    """What a person says of a trajectory, or a command that is done. Raises EOFError."""
    try:
        return _answer(sitting, shown)
    except _Command as command:
        return _command(sitting, shown, f"{command}")


def _answer(sitting: "Sitting", shown: "Shown") -> "Given":
    from runbookopt.jobs.verifiers.labelling_shown import Given

    note = _asked("what went wrong, in your words (Enter: nothing)? ")
    results = {}
    for criterion in sitting.project.rubric.criteria:
        about = f": {criterion.statement}" if criterion.statement else ""
        say(f"{criterion.id}{about}")
        results[criterion.id] = _result()
    mode = _mode(sitting) if "fail" in results.values() else None
    return Given(shown.id, results, note, mode)  # type: ignore[arg-type]  # one of three words each


def _command(sitting: "Sitting", shown: "Shown", command: str) -> str:
    from runbookopt.jobs.verifiers.labelling_shown import About

    match command:
        case ":quit" | ":skip" | ":undo":
            return command
        case ":all":
            say_lines(_page(shown, whole=True))
        case ":steps":
            say_lines(_steps(shown))
        case ":expected" if shown.expected:
            say_lines(_text("expected", sitting.expected(About(shown.id))))
        case ":verdicts":
            for each in sitting.verdicts(About(shown.id)):
                why = f": {each.explanation}" if each.explanation else ""
                say(f"{each.criterion}: {each.result}, by {each.by}{why}")
        case _:
            for line in _HELP:
                say(line)
    return ":again"


def _result() -> str:
    words = {word[:end]: word for word in ("pass", "fail", "unsure") for end in range(1, len(word) + 1)}
    while (typed := _asked("  pass, fail or unsure (p, f, u)? ").casefold()) not in words:
        say("  expected p, f or u")
    return words[typed]


def _mode(sitting: "Sitting") -> str | None:
    modes = sitting.modes
    for number, mode in enumerate(modes, 1):
        say(f"  {number:>3}  {mode.name} ({mode.count})")
    typed = _asked("failure mode: a number, a new name, or Enter for none? ")
    if typed.isdecimal() and 0 < int(typed[:9]) <= len(modes):
        return modes[int(typed[:9]) - 1].name
    return typed or None


def _about(shown: "Shown") -> "Iterator[tuple[str, str]]":
    yield from ((f"  {what} {value}", "dim") for what, value in shown.about)


def _page(shown: "Shown", *, whole: bool = False) -> "Iterator[Line]":
    yield from _text("task", shown.task, whole=whole)
    if shown.steps:
        yield (("steps", "bold cyan"), (f"     {len(shown.steps)}: see them with :steps", ""))
    yield from _text("output", shown.output, whole=whole)


def _steps(shown: "Shown") -> "Iterator[Line]":
    for step in shown.steps:
        yield ((step.title, "bold"),)
        for what, text in step.texts:
            yield from _text(what, text, whole=True)


def _text(what: str, text: str, *, whole: bool = False) -> "Iterator[Line]":
    """A text with its name, cut unless the whole is asked for; what cannot be seen is written out."""
    from runbookopt.documents.hidden_text import visible

    lines = visible(text).split("\n")
    kept = lines if whole else [line[:_WIDE] for line in lines[:_LINES]]
    for number, line in enumerate(kept):
        yield ((f"{what if not number else '':<9} ", "bold cyan"), (line, ""))
    cut = sum(map(len, lines)) - sum(map(len, kept))
    if cut:
        yield ((f"{'':<9} [and {cut:,} characters more: :all shows them]", "dim"),)
