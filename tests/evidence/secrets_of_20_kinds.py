"""Secrets of twenty kinds, made up and put together here, so that none stands in a file in one piece."""

import base64
import json
import random
import string
from contextlib import suppress
from typing import Any

_CHANCE = random.Random(16)
_LETTERS = string.ascii_letters + string.digits


def drawn(length: int, of: str = _LETTERS) -> str:
    return "".join(_CHANCE.choices(of, k=length))


def _token() -> str:
    header, claims = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "HS256"}, {"sub": drawn(12)})
    )
    return f"{header}.{claims}.{drawn(43)}"


CORES = {
    "aws": "AKIA" + drawn(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
    "github": "ghp_" + drawn(36),
    "github fine": "github_pat_" + drawn(60),
    "gitlab": "glpat-" + drawn(20),
    "slack": "xoxb-" + drawn(12, string.digits) + "-" + drawn(24),
    "stripe": "sk_live_" + drawn(24),
    "google": "AIza" + drawn(35),
    "npm": "npm_" + drawn(36),
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + drawn(80),
    "hugging face": "hf_" + drawn(34),
    "openai": "sk-" + "proj-" + drawn(40) + "7",
    "anthropic": "sk-" + "ant-api03-" + drawn(60) + "7",
    "token": _token(),
    "sendgrid": "SG." + drawn(22) + "." + drawn(43),
    "twilio": "SK" + drawn(32, string.hexdigits[:16]),
    "mailchimp": drawn(32, "0123456789abcdef") + "-us7",
    "telegram": drawn(9, string.digits[1:]) + ":" + drawn(35),
    "square": "sq0csp-" + drawn(43),
    "url": "hunter" + drawn(6),
    "pem": drawn(64),
}
"""What must be nowhere, by kind."""

_AROUND = {
    "url": "postgres" + "://ana:{}@db.internal/orders",
    "pem": "-----BEGIN " + "RSA PRIVATE KEY-----\n{}\n-----END " + "RSA PRIVATE KEY-----",
}

SECRETS = {kind: _AROUND.get(kind, "{}").format(core) for kind, core in CORES.items()}
"""As they stand in a text."""

ALL = " and ".join(SECRETS.values())


def planted(value: Any) -> Any:  # noqa: ANN401 - JSON has any shape
    """Put all of them behind each text of several words in a JSON value."""
    match value:
        case str() if value.startswith(("{", "[")):
            with suppress(ValueError):
                return json.dumps(planted(json.loads(value)))
            return value
        case str():
            return f"{value} {ALL}" if " " in value else value
        case dict():
            return {key: planted(inner) for key, inner in value.items()}
        case list() | tuple():
            return [planted(inner) for inner in value]
        case _:
            return value


def kinds_in(text: str) -> list[str]:
    """Give the kinds of those that stand in a text."""
    return [kind for kind, core in CORES.items() if core in text]
