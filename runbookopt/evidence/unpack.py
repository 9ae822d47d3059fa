"""Stored files, unpacked within limits: gzip, Zstandard, ZIP (the only file that knows backports.zstd)."""

import gzip
import io
import lzma
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    from types import ModuleType

LARGEST_FILE = 4_000_000_000
"""Bytes of a file of lines after unpacking; none of it is held in memory."""

LARGEST_DOCUMENT = 256_000_000
"""Bytes of one JSON document, or of one file of an archive: it is held in memory."""

MOST_MEMBERS = 100_000
"""Files in an archive."""

_GZIP, _ZSTD, _ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"


class Unreadable(ValueError):
    """A file that cannot be unpacked, or not within the limits; its words say why."""


def unpacked(stream: BinaryIO) -> io.BufferedReader:
    """The stream, decompressed where its first bytes say that it is gzip or Zstandard.

    Reading raises Unreadable where it is damaged, or larger than LARGEST_FILE.
    """
    packed = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast("Any", stream))
    head = packed.peek(4)[:4]
    inner: Any = packed
    if head.startswith(_GZIP):
        inner = gzip.GzipFile(fileobj=packed)
    elif head == _ZSTD:
        inner = _zstd("").ZstdFile(packed)
    return io.BufferedReader(_Limited(inner), 1 << 16)


def is_archive(stream: BinaryIO) -> bool:
    """Whether the file begins as a ZIP file does; it stands at its beginning again."""
    head = stream.read(len(_ZIP))
    stream.seek(0)
    return head == _ZIP


def is_packed(head: bytes) -> bool:
    """Whether a file that begins so is gzip, Zstandard or ZIP."""
    return head.startswith((_GZIP, _ZSTD, _ZIP))


class Archive:
    """A ZIP file: names of what is in it, and their bytes. Raises Unreadable where it is none."""

    def __init__(self, stream: BinaryIO) -> None:
        with _translated():
            self._zip = _zipfile().ZipFile(stream)
        entries = self._zip.infolist()
        if len(entries) > MOST_MEMBERS:
            raise Unreadable(f"expected at most {MOST_MEMBERS:,} files in the archive, got {len(entries):,}")
        self._left = LARGEST_FILE
        self.names = frozenset(entry.filename for entry in entries if not entry.is_dir())

    def read(self, name: str) -> bytes | None:
        """The bytes of a file in it; None where there is none. Raises Unreadable: damaged, or too large."""
        if name not in self.names:
            return None
        with _translated(), self._zip.open(name) as member:
            data = at_most(member, min(LARGEST_DOCUMENT, self._left))
        self._left -= len(data)
        return data


def at_most(stream: IO[bytes], limit: int) -> bytes:
    """All that a stream has; raises Unreadable where that is more than `limit` bytes."""
    data = stream.read(limit + 1)
    if len(data) > limit:
        raise Unreadable(f"expected at most {limit:,} bytes in one document: split it, or use JSON Lines")
    return data


class _Limited(io.RawIOBase):
    """A stream that ends in Unreadable where it is damaged, or goes on for too long."""

    def __init__(self, inner: IO[bytes]) -> None:
        super().__init__()
        self._inner, self._left = inner, LARGEST_FILE

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - the type of a writable buffer has no name yet
        with _translated():
            data = self._inner.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise Unreadable(f"expected at most {LARGEST_FILE:,} bytes after unpacking: split the file")
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of the decompressors as Unreadable."""
    try:
        yield
    except Unreadable:
        raise
    except NotImplementedError as error:
        raise Unreadable(f"an entry of the archive is compressed in a way not known here: {error}") from error
    except (OSError, EOFError, RuntimeError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise Unreadable(f"damaged, encrypted or cut off: {error}") from error
    except zipfile.BadZipFile as error:
        raise Unreadable(f"damaged or cut off: {error}") from error
    except Exception as error:
        if type(error).__name__ in {"ZstdError", "BadZipFile"}:  # of whichever module is there
            raise Unreadable(f"damaged or cut off: {error}") from error
        raise


def _zstd(part: str) -> "ModuleType":
    here = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    try:
        return import_module(here + part)
    except ImportError:
        raise Unreadable(
            "compressed with Zstandard, and this Python cannot read that: `pip install backports.zstd`"
        ) from None


def _zipfile() -> "ModuleType":
    """The module that reads ZIP files, with Zstandard in them where it can be had.

    Inspect writes its logs so since 0.3.206.
    """
    if sys.version_info >= (3, 14):
        return zipfile
    try:
        return _zstd(".zipfile")
    except Unreadable:
        return zipfile
