"""The shapes of secrets that vendors publish (pure)."""

import re
from collections.abc import Iterator


def secrets(text: str) -> Iterator[tuple[str, str, int]]:
    """Give each secret in `text`: what kind it is, the secret itself, and its line."""
    for kind, pattern in _SECRETS:
        for match in pattern.finditer(text):
            yield kind, match[0], text.count("\n", 0, match.start()) + 1


# The shapes that vendors publish, and no guess at entropy: a false alarm here stops a run.
_SECRETS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        # RFC 7468 and RFC 4880 armour
        ("a private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
        # docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html, "unique ID prefixes"
        ("an AWS access key", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
        # github.blog/2021-04-05-behind-githubs-new-authentication-token-formats
        ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b"),
        # docs.gitlab.com/security/tokens, "token prefixes"
        ("a GitLab token", r"\bgl(?:pat|dt|rt|ptt|oas)-[\w-]{20,}"),
        # api.slack.com/concepts/token-types
        ("a Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-\d-[A-Za-z0-9-]{10,}"),
        # docs.stripe.com/keys
        ("a Stripe key", r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}\b"),
        # cloud.google.com/docs/authentication/api-keys
        ("a Google API key", r"\bAIza[\w-]{35}(?![\w-])"),
        # docs.npmjs.com/about-access-tokens
        ("an npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
        # the Python package index: its help on API tokens
        ("a PyPI token", r"\bpypi-[\w-]{50,}"),
        # huggingface.co/docs/hub/security-tokens
        ("a Hugging Face token", r"\bhf_[A-Za-z0-9]{34,}\b"),
        # platform.openai.com and docs.anthropic.com print their keys in these shapes
        ("a model provider's key", r"\bsk-(?:proj-|ant-|svcacct-|or-)?[A-Za-z0-9_-]{32,}"),
        # RFC 7519: a header and a claim set are JSON objects, so both begin with `{"` in base64url
        ("a JSON web token", r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
        # RFC 3986, 3.2.1: user information in an authority
        ("a password in a URL", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'<>{}$]{1,64}:[^\s/@\"'<>{}$]{3,64}@"),
    )
)
