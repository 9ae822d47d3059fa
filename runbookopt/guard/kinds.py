"""Kinds of things that a diff may introduce."""

from typing import Literal

Introduced = Literal[
    "urls",
    "recipients",
    "commands",
    "tools",
    "permissions",
    "packages",
    "credentials",
    "paths",
    "hidden-text",
    "blobs",
    "languages",
    "imitations",
    "verifier",
    "weaker-rules",
    "sorting",
]
"""The classes of things that a diff may bring in; the guard finds them."""
