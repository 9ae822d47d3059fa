"""README.md and docs/: short, in plain words, with links that lead somewhere and commands that run."""

import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt

from tests.conftest import Clone
from tests.github.double import Github

if TYPE_CHECKING:
    from markdown_it.token import Token

    from tests.conftest import Ran

PROJECT = Path(__file__).parents[1]
README = PROJECT / "README.md"
PAGES = [README, *sorted((PROJECT / "docs").glob("*.md"))]
OTHERS = [PROJECT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]

QUESTIONS = re.compile(r"(what|how|why|where|when|who|whose|which)\b", re.IGNORECASE)
FILE = re.compile(r"(?:\.ci|benchmarks|docs|runbookopt|tests)/(?:[\w./-]+\.\w+|[\w./-]*/)?")


def tokens(page: Path) -> "list[Token]":
    return MarkdownIt("commonmark").enable("table").parse(page.read_text())


def inline(page: Path) -> "Iterator[Token]":
    """Give what stands within the blocks of a page: text, code spans, links."""
    for token in tokens(page):
        yield from token.children or ()


def words_of(token: "Token") -> str:
    """Give the text of a block, a code span as one word."""
    kept = {"softbreak": " ", "hardbreak": " ", "code_inline": "code"}
    return "".join(kept.get(child.type, child.content) for child in token.children or ())


def prose(page: Path) -> Iterator[str]:
    """Give the text of each paragraph and list item, not of code and tables."""
    for token, after in pairwise(tokens(page)):
        if token.type == "paragraph_open":
            yield words_of(after)


def headings(page: Path) -> list[str]:
    return [words_of(after) for token, after in pairwise(tokens(page)) if token.type == "heading_open"]


def anchor(heading: str) -> str:
    """Give the anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def targets(page: Path) -> Iterator[str]:
    """Give where the links and pictures of a page lead."""
    for token in inline(page):
        yield from (str(value) for name, value in token.attrs.items() if name in {"href", "src"})


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, part = target.partition("#")
    place = (page.parent / path) if path else page
    return place.exists() and (not part or part in map(anchor, headings(place)))


# Size and language -----------------------------------------------------------------------------------------


def test_readme_is_read_in_a_minute() -> None:
    assert len(README.read_bytes()) <= 9216


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_no_sentence_has_more_than_25_words(page: Path) -> None:
    sentences = [each for text in prose(page) for each in re.split(r"(?<=[.!?])[\"')]*\s+", text)]
    assert [each for each in sentences if len(each.split()) > 25] == []


def test_no_heading_is_a_question() -> None:
    found = [heading for page in PAGES for heading in headings(page) if QUESTIONS.match(heading)]
    assert found == []


# Links -----------------------------------------------------------------------------------------------------


def test_every_link_leads_to_a_file_and_to_a_heading_in_it() -> None:
    local = [(page, target) for page in PAGES + OTHERS for target in targets(page) if "://" not in target]
    assert len(local) > 20
    assert [(page.name, target) for page, target in local if not leads_somewhere(page, target)] == []


def test_every_file_that_is_named_exists() -> None:
    spans = [(page.name, token.content) for page in PAGES + OTHERS for token in inline(page)]
    named = [(page, path) for page, text in spans if FILE.fullmatch(path := text.strip())]
    assert len(named) > 10
    assert [(page, path) for page, path in named if not (PROJECT / path).exists()] == []


def test_the_index_names_every_page() -> None:
    index = PROJECT / "docs/README.md"
    listed = {(index.parent / target).resolve() for target in targets(index) if "://" not in target}
    assert set(PAGES) - listed - {index, README} == set()


def test_pictures_come_from_nowhere_else() -> None:
    """What a picture fetches is missing at GitHub, and elsewhere tells others who reads."""
    pictures = list((PROJECT / "docs/pictures").glob("*.svg"))
    assert len(pictures) >= 2
    names = re.compile(r'xmlns(:\w+)?="[^"]*"|<!--.*?-->')
    for picture in pictures:
        assert re.findall(r"//|@import|@font-face", names.sub("", picture.read_text())) == [], picture.name


# The rooms -------------------------------------------------------------------------------------------------


def first_cells(page: Path, section: str) -> set[str]:
    """Give the first column of the table in a section."""
    text = page.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)[1:]
    return {name for row in rows for name in re.split(r", ", row.replace("`", "").replace("--", ""))} - {""}


def test_the_design_page_names_every_room_and_every_library() -> None:
    page = PROJECT / "docs/design.md"
    rooms = {path.parent.name for path in (PROJECT / "runbookopt").glob("*/__init__.py")}
    assert first_cells(page, "Rooms") == rooms
    needs = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert first_cells(page, "Libraries") == {re.split(r"[<>=~]", need)[0] for need in needs}


# Commands --------------------------------------------------------------------------------------------------


def commands(*sections: str) -> Iterator[str]:
    """Give each line of the README's shell blocks, in these sections or in all."""
    section = ""
    for token, after in pairwise(tokens(README)):
        if token.type == "heading_open":
            section = words_of(after)
        if token.type == "fence" and token.info == "sh" and (section in sections or not sections):
            yield from token.content.replace("\\\n", "").splitlines()


def split(line: str) -> list[str]:
    return shlex.split(line, comments=True)


def test_what_make_is_asked_for_is_a_target() -> None:
    """Neither is run here: `make test` is what runs this test, and `make demo` installs from the network."""
    asked = {split(line)[1] for line in commands() if line.startswith("make ")}
    rules = re.findall(r"^([\w-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test"} <= asked <= set(rules)


def test_what_pipx_is_asked_for_has_the_commands() -> None:
    """An installation needs the network for its build system, so what it would make is compared instead."""
    assert ["pipx", "install", "."] in map(split, commands())
    scripts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]
    ours = {split(line)[0] for line in commands()} - {"make", "pipx", "export"}
    assert ours == scripts.keys()
    assert all(Path(sys.executable).with_name(name).exists() for name in scripts)


def run_all(clone: Clone, *sections: str) -> "dict[str, Ran]":
    """Run each line of these sections in a clone, in the order of the page; what came of each."""
    done = {}
    with pytest.MonkeyPatch.context() as environment:
        for command, *arguments in map(split, commands(*sections)):
            if command == "export":
                for name, _, value in (each.partition("=") for each in arguments):
                    environment.setenv(name, value)
            else:
                done[" ".join([command, *arguments])] = clone.ask(command, *arguments)
    return done


@pytest.mark.slow
def test_the_commands_for_a_repository_and_for_models_run_in_a_fresh_clone(
    samples: Callable[[str], Clone],
) -> None:
    """The keys of the page are made up: `--plan` asks no model, so no line needs the network."""
    clone = samples("readme")
    done = run_all(clone, "In your repository", "With models")
    assert len(done) >= 6
    assert {line: ran.stderr for line, ran in done.items() if ran.returncode} == {}
    assert clone.at_origin("log", "-1", "--format=%s", "main").startswith("support-triage: +0.10")


@pytest.mark.slow
def test_the_commands_for_github_run_against_its_double(
    tmp_path: Path, samples: Callable[[str], Clone], monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = samples("readme-github")
    names = sample.git("ls-files").splitlines()
    with Github(tmp_path, {name: (sample.root / name).read_text() for name in names}) as github:
        monkeypatch.setenv("GITHUB_API_URL", github.api_url)
        monkeypatch.setenv("GITHUB_TOKEN", github.token)
        done = run_all(Clone(github.clone(tmp_path / "clone"), tmp_path), "With GitHub")
    init, check, explain = done.values()
    assert (init.returncode, explain.returncode) == (0, 0)
    assert "wrote .github/CODEOWNERS" in init.stdout
    assert check.returncode == 1, "a repository that nobody protected has gaps"
    assert "to close it: " in check.stdout


def test_no_command_of_the_readme_is_left_out() -> None:
    run = [*commands("In your repository", "With models", "With GitHub")]
    others = {split(line)[0] for line in commands() if line not in run}
    assert others == {"make", "pipx"}
