"""What calls to models used, by role, as lines of a pull request (pure)."""

from collections.abc import Iterator

from runbookopt.landing.bundle import Bundle, models_by_role
from runbookopt.landing.quoting import code
from runbookopt.usage import Usage

ROLES = ("agent", "reflector", "judge")
_KINDS = 12  # of failures that are named


def calls(bundle: Bundle) -> Iterator[str]:
    """Give a line for each role that called a model: calls, tokens, dollars, and failures by kind."""
    models = models_by_role(bundle)
    for role in ROLES:
        usage: Usage | None = getattr(bundle.spent.usage, role)
        if usage is None and role not in models:
            continue
        model = f" ({code(models[role], 80)})" if role in models else ""
        yield f"- Calls of the {role}{model}: {'unknown' if usage is None else _told(usage)}"


def _told(usage: Usage) -> str:
    cached = f" ({usage.cached / usage.prompt:.0%} cached)" if usage.prompt else ""
    tokens = f"tokens: {usage.prompt:,} in{cached}, {usage.completion:,} out"
    return f"{usage.calls:,}; {tokens}; {dollars(usage.usd)}; {_failed(usage.failures)}"


def dollars(usd: float | None) -> str:
    """Give an amount, a small one to its second digit: what it costs must not read as nothing."""
    if usd is None:
        return "dollars: unknown"
    return f"dollars: {usd:.2f}" if usd >= 0.01 or not usd else f"dollars: {usd:.2g}"  # noqa: PLR2004 - a cent


def _failed(failures: dict[str, int]) -> str:
    if not failures:
        return "no attempt failed"
    most = sorted(failures.items(), key=lambda found: (-found[1], found[0]))
    told = ", ".join(f"{code(kind, 40)} {count:,}" for kind, count in most[:_KINDS])
    more = f" and {len(most) - _KINDS} more kinds" if len(most) > _KINDS else ""
    return f"failed attempts: {told}{more}"
