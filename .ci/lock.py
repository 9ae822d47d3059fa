"""Lock of all that the tool needs in a team's CI: exact versions with the hashes of their files.

`make lock` writes what `runbookopt init` puts into `.github/`. pip chooses the files as it would for each of
these Pythons on Linux, at the versions of constraints.txt; nothing is installed. The back end that builds a
checkout is part of it, since it is not fetched where build isolation is off.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "runbookopt/jobs/scaffold/files/runbookopt-requirements.txt"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")
HEADING = """\
# All that runbookopt needs, as exact versions with the hashes of their files: workflows install these and
# no others (pip install --require-hashes --no-deps). For Python {first} to {last} on Linux, {machines}.
"""


def main() -> None:
    """Write the lock, or say which of its packages pip cannot find."""
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for python in PYTHONS:
        for machine in MACHINES:
            for name, version, digest in _chosen(_declared(python), python, machine):
                found.setdefault((name.lower().replace("_", "-"), version), {}).setdefault(digest, set()).add(
                    python
                )
    words = {"first": PYTHONS[0], "last": PYTHONS[-1], "machines": " and ".join(MACHINES)}
    lines = [HEADING.format(**words)]
    for (name, version), hashes in sorted(found.items()):
        pythons = set().union(*hashes.values())
        marker = "" if pythons == set(PYTHONS) else f" ; {_marker(pythons)}"
        told = "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(hashes))
        lines.append(f"{name}=={version}{marker}{told}\n")
    PLACE.write_text("".join(lines), encoding="utf-8")


def _declared(python: str) -> list[str]:
    """What is declared for this Python: pip would ask markers of the one that it runs in."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = map(Requirement, [*declared["project"]["dependencies"], *declared["build-system"]["requires"]])
    meant = [each for each in needed if not each.marker or each.marker.evaluate({"python_version": python})]
    return [f"{each.name}{each.specifier}" for each in meant]


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
