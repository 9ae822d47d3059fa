"""What the check says in a check run: Markdown in which nothing of others has any power (pure)."""

from runbookopt.forge.forge import CheckRun
from runbookopt.forge.protection import OUR_CHECK
from runbookopt.landing.quoting import code, prose
from runbookopt.landing.verification import Verified

MOST_CHARACTERS = 65_535
"""What GitHub takes as the summary of a check run."""

_WORDS = {True: "yes", False: "**no**", None: "**unknown**"}
_CUT = "\nCut here: run `runbookopt verify` for the rest.\n"


def check_run(verified: Verified) -> CheckRun:
    """Give the check run that says what was found."""
    against = sum(not reason.holds for reason in verified.reasons)
    title = (
        "may be merged" if verified.passes else f"may not be merged: {against} reason(s) are no or unknown"
    )
    return CheckRun(OUR_CHECK, verified.head, verified.passes, title, _summary(verified))


def _summary(verified: Verified) -> str:
    named = ", ".join(code(name, 80) for name in verified.runbooks[:20]) or "no runbook"
    lines = [
        f"Touches {named}; judged by {code(verified.tip)} of the default branch.",
        "",
        "| condition | holds | what was found |",
        "|---|---|---|",
    ]
    lines += [
        f"| {code(each.condition)} | {_WORDS[each.holds]} | {prose(each.text)} |" for each in verified.reasons
    ]
    text = "\n".join(lines) + "\n"
    if len(text) <= MOST_CHARACTERS:
        return text
    return text[: MOST_CHARACTERS - len(_CUT)].rpartition("\n")[0] + _CUT
