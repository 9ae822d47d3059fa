"""Locks of all that the tool needs in a team's CI: exact versions with the hashes of their files.

`make lock` writes what `runbookopt init` puts into `.github/`: one file of what every job needs, and one of
what only a job that asks models needs besides. pip chooses the files as it would for each of these Pythons on
Linux, at the versions of constraints.txt; nothing is installed. The back end that builds a checkout is among
them, since it is not fetched where build isolation is off.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
FILES = ROOT / "runbookopt/jobs/scaffold/files"
OF_MODELS = "litellm"
"""The one dependency that only asking a model needs, with all that it brings."""

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")
HEADING = """\
# {what}, as exact versions with the hashes of their files: workflows install these
# and no others (pip install --require-hashes --no-deps). For Python {first} to {last} on Linux, {machines}.
"""
Found = dict[tuple[str, str], dict[str, set[str]]]
"""Of each name and version the hashes of its files, and the Pythons that need them."""


def main() -> None:
    """Write the locks, or say which of their packages pip cannot find."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = [
        Requirement(each)
        for each in (*declared["project"]["dependencies"], *declared["build-system"]["requires"])
    ]
    everything = _found(needed)
    every_job = _found([need for need in needed if need.name != OF_MODELS])
    _write("runbookopt-requirements.txt", "All that every job of runbookopt needs", every_job)
    models = {
        package: rest
        for package, hashes in everything.items()
        if (rest := _less(hashes, every_job.get(package, {})))
    }
    _write("runbookopt-requirements-models.txt", "What runbookopt needs besides to ask models", models)


def _found(needed: list[Requirement]) -> Found:
    found: Found = {}
    for python in PYTHONS:
        for machine in MACHINES:
            for name, version, digest in _chosen(_meant_for(python, needed), python, machine):
                package = name.lower().replace("_", "-"), version
                found.setdefault(package, {}).setdefault(digest, set()).add(python)
    return found


def _meant_for(python: str, needed: list[Requirement]) -> list[str]:
    """What is needed with this Python: pip would ask markers of the one that it runs in."""
    meant = [each for each in needed if not each.marker or each.marker.evaluate({"python_version": python})]
    return [f"{each.name}{each.specifier}" for each in meant]


def _less(hashes: dict[str, set[str]], others: dict[str, set[str]]) -> dict[str, set[str]]:
    """What of a package's files is needed for Pythons for which others do not need it."""
    had = set().union(*others.values())
    return {digest: pythons - had for digest, pythons in hashes.items() if pythons - had}


def _write(file: str, what: str, found: Found) -> None:
    words = {"first": PYTHONS[0], "last": PYTHONS[-1], "machines": " and ".join(MACHINES)}
    lines = [HEADING.format(what=what, **words)]
    for (name, version), hashes in sorted(found.items()):
        pythons = set().union(*hashes.values())
        marker = "" if pythons == set(PYTHONS) else f" ; {_marker(pythons)}"
        told = "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(hashes))
        lines.append(f"{name}=={version}{marker}{told}\n")
    (FILES / file).write_text("".join(lines), encoding="utf-8")


def _chosen(needed: list[str], python: str, machine: str) -> list[tuple[str, str, str]]:
    """Name, version and SHA-256 of each file that pip would install."""
    tags = [f"manylinux_2_{minor}_{machine}" for minor in (34, 31, 28, 27, 26, 24, 17, 12, 5)]
    tags += [f"{old}_{machine}" for old in ("manylinux2014", "manylinux2010", "manylinux1")]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
    command += ["--ignore-installed", "--report", "-", "--target", "unused", "--only-binary", ":all:"]
    command += ["--constraint", str(ROOT / ".ci/constraints.txt"), "--python-version", python]
    command += [part for tag in tags for part in ("--platform", tag)]
    told = subprocess.run([*command, *needed], check=True, stdout=subprocess.PIPE).stdout
    return [
        (
            each["metadata"]["name"],
            each["metadata"]["version"],
            each["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for each in json.loads(told)["install"]
    ]


def _marker(pythons: set[str]) -> str:
    """The Pythons of a package that not all need."""
    return " or ".join(f'python_version == "{python}"' for python in sorted(pythons))


if __name__ == "__main__":
    main()
