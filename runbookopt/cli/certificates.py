"""Certificates of a company's own authority: named by one variable, trusted by all that ask a server."""

from collections.abc import MutableMapping
from pathlib import Path

NAMES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""What httpx (for models), requests (for GitHub) and curl read; who sets one means all."""


def trusted_by_all(environ: MutableMapping[str, str]) -> None:
    """Let the first of these variables that names a file stand for those that are not set.

    Git reads the first of them too: see `forge.git.process`.
    """
    named = (environ[name] for name in NAMES if environ.get(name))
    bundle = next((path for path in named if Path(path).is_file()), None)
    if bundle is not None:
        for name in NAMES[:2]:
            environ.setdefault(name, bundle)
