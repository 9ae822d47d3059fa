"""Canonical JSON and the digests that identify content."""

import hashlib

import msgspec


def canonical(value: object) -> bytes:
    """Canonical JSON of `value`: keys sorted, a record's fields in their order, no white space."""
    return msgspec.json.encode(value, order="deterministic")


def digest(data: bytes) -> str:
    """`sha256:` and the SHA-256 of `data` in hexadecimal."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_of(value: object) -> str:
    """Digest of the canonical JSON of `value`."""
    return digest(canonical(value))


def as_text(value: object) -> str:
    """Text as it is, any other value as canonical JSON."""
    return value if isinstance(value, str) else canonical(value).decode()
