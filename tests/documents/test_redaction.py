import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.documents.redaction import Redactor

NOTHING = Redactor({})
PEM_BODY = "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ" + "a" * 14] * 3)


def joined(*parts: str) -> str:
    """Put together what must not stand in a file in one piece."""
    return "".join(parts)


SECRETS = {
    "github token": joined("ghp_", "aB3" * 12),
    "github_pat": joined("github_pat_", "11ABCDEFG0", "x" * 30),
    "aws": joined("AKIA", "IOSFODNN7EXAMPLE"),
    "openai": joined("sk-", "proj-", "Ab1" * 12),
    "anthropic": joined("sk-ant-", "api03-", "Ab1" * 20),
    "google": joined("AIza", "SyA1234567890abcdefghijklmnopqrstuv"),
    "slack": joined("xoxb-", "123456789012-123456789012-", "abcdefghijkl"),
    "stripe": joined("sk_live_", "a1" * 12),
    "jwt": joined("eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxMjM0In0", ".c2lnbmF0dXJlLWhlcmU"),
    "bearer": joined("Bearer ", "a1b2c3d4e5f6g7h8i9j0k1"),
    "url": joined("://ana:", "hunter22", "@"),
    "npm": joined("_authToken=", "0a1b2c3d"),
    "pem": joined("-----BEGIN ", "RSA PRIVATE KEY-----\n", PEM_BODY, "\n-----END RSA PRIVATE KEY-----"),
    "pem in json": joined("-----BEGIN ", "PRIVATE KEY-----", "\\n", PEM_BODY.replace("\n", "\\n")),
    "vendor": joined('cloudant_password = "', "0123456789abcdef" * 4, '"'),
}

PROSE = (
    """# Refunds
- If the message mentions "card", answer `cards`; the password reset link is https://example.com/reset?id=42
- task-force, risk-assessment-of-long-hyphenated-words, sk-learn, order 4111-1111, sha256:"""
    + "0f" * 32
)


@pytest.mark.parametrize("kind", SECRETS)
def test_what_looks_like_a_secret_is_taken_out(kind: str) -> None:
    secret = SECRETS[kind]
    cleaned = NOTHING.clean(f"before {secret} after")
    assert secret not in cleaned
    assert "[removed: " in cleaned
    assert cleaned.startswith("before")
    assert cleaned.endswith("after")
    if "pem" in kind:
        assert "MIIEv" not in cleaned


def test_ordinary_words_stay() -> None:
    assert NOTHING.clean(PROSE) == PROSE


def test_values_of_credentials_are_taken_out_in_every_form() -> None:
    environ = {
        "OPENAI_API_KEY": "plain words/with+signs",
        "DB_PASSWORD": 'quo"ted\\value',
        "APP_SECRET": "12345678",
        "MY_TOKEN": "  padded-token-1 \n",
        "HOME": "/home/ana-the-first",
        "SHORT_KEY": "1234567",
        "KEY_FILE": "/etc/keys/one",
        "MAX_TOKENS": "100000000",
    }
    redactor = Redactor(environ)
    told = (
        'plain words/with+signs plain%20words%2Fwith%2Bsigns quo"ted\\value quo\\"ted\\\\value padded-token-1'
    )
    assert redactor.clean(told) == " ".join(["[removed: credential]"] * 5)
    kept = "12345679 1234567 /home/ana-the-first /etc/keys/one 100000000"
    assert redactor.clean(f"12345678 {kept}") == f"[removed: credential] {kept}"
    assert "12345678" not in repr(redactor)


def test_a_credential_within_another_leaves_no_rest() -> None:
    redactor = Redactor({"A_KEY": "abcdefgh", "B_KEY": "abcdefgh-and-more"})
    assert redactor.clean("abcdefgh-and-more") == "[removed: credential]"


@given(st.text(), st.sampled_from(sorted(SECRETS)), st.text())
def test_cleaning_again_changes_nothing(before: str, kind: str, after: str) -> None:
    once = NOTHING.clean(f"{before} {SECRETS[kind]} {after}")
    assert NOTHING.clean(once) == once


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_credential_is_nowhere_left(before: str, after: str) -> None:
    value = "correct horse battery"
    assert value not in Redactor({"X_SECRET": value}).clean(before + value + after)


@pytest.mark.parametrize(
    "unit",
    [
        "sk-",
        "eyJ",
        "//",
        "a",
        "xoxb-1-",
        "://a:",
        "Bearer ",
        "a=",
        "0",
        joined("-----BEGIN ", "RSA PRIVATE KEY-----\n"),
    ],
)
def test_text_made_to_take_long_does_not(unit: str) -> None:
    NOTHING.clean("")
    began = time.process_time()
    NOTHING.clean(unit * (300_000 // len(unit)))
    assert time.process_time() - began < 5
