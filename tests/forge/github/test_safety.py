"""What may never leave: our token; and what may never arrive: the power of other people's words."""

import base64
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from markdown_it import MarkdownIt

from runbookopt.errors import RunbookoptError
from runbookopt.forge.github.client import Client
from runbookopt.forge.github.credentials import Access
from runbookopt.forge.github.translate import Body, bundle_of, done
from runbookopt.landing.bundle import Change, seal, write_bundle
from runbookopt.landing.report import read_trailers
from tests.forge.bench import BRANCH, QUICK, Bench
from tests.github.double import Fault

LOUD = {
    "GIT_TRACE": "1",
    "GIT_TRACE_CURL": "1",
    "GIT_CURL_VERBOSE": "1",
    "GIT_TRACE_REDACT": "0",
    "GIT_TRACE2_ENV_VARS": "GIT_CONFIG_VALUE_1",
    "GIT_TRACE2_CONFIG_PARAMS": "http.*",
    "RUNBOOKOPT_TRACEBACK": "1",
}


@pytest.fixture
def bench(tmp_path: Path, first_half: ModuleType) -> Iterator[Bench]:
    with Bench(tmp_path, first_half) as bench:
        bench.protected()
        yield bench


def secrets(bench: Bench) -> list[bytes]:
    """Give the token as it is and as git is shown it."""
    shown = base64.b64encode(f"x-access-token:{bench.github.token}".encode())
    return [bench.github.token.encode(), shown, shown[24:-4]]


def holds_none(bench: Bench, told: bytes, where: object) -> None:
    assert not [secret for secret in secrets(bench) if secret in told], where


def no_file_holds_any(bench: Bench) -> None:
    root = bench.repository.root
    for path in root.rglob("*"):
        if path.is_file():
            holds_none(bench, path.read_bytes(), path)
    config = (root / ".git/config").read_text()
    assert "Authorization" not in config
    assert "extraHeader" not in config


def no_process_shows_any(bench: Bench) -> Callable[[str, str, int], Fault | None]:
    """Look at the arguments of all processes each time that GitHub hears something; cut one line."""
    cut: list[str] = []

    def hook(_method: str, path: str, _nth: int) -> Fault | None:
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                holds_none(bench, process.read_bytes(), process)
            except OSError:
                continue  # it ended meanwhile
        if path.endswith("/pulls") and not cut:
            cut.append(path)
            return Fault.CUT
        return None

    return hook


def run(bench: Bench, **environ: str) -> "subprocess.CompletedProcess[bytes]":
    path = write_bundle(bench.bundle(), bench.folder)
    return subprocess.run(
        [Path(sys.executable).with_name("runbookopt"), "propose", str(path)],
        cwd=bench.repository.root,
        env={**os.environ, **bench.environ(), **environ},
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_the_token_is_in_no_output_file_or_argument(bench: Bench) -> None:
    bench.github.faults = no_process_shows_any(bench)
    ran = run(bench, **LOUD, GIT_TRACE2_EVENT=str(bench.repository.root / "trace"))
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert bench.github.pull(1).auto_merge is not None
    holds_none(bench, ran.stdout + ran.stderr, "output")
    no_file_holds_any(bench)
    history = subprocess.run(
        ["git", "-C", bench.github.origin, "log", "-p", "--all"], check=True, capture_output=True
    )
    holds_none(bench, history.stdout, "history")


@pytest.mark.slow
def test_a_run_that_may_not_shows_no_token_either(bench: Bench) -> None:
    bench.bundle()
    reader = bench.github.app_token({"contents": "read", "pull_requests": "read"})
    ran = run(bench, **LOUD, GITHUB_TOKEN=reader)
    assert ran.returncode == 1
    assert reader.encode() not in ran.stdout + ran.stderr
    assert base64.b64encode(f"x-access-token:{reader}".encode()) not in ran.stderr


def echoed(bench: Bench) -> None:
    bench.github.refuse_pushes(f"no, {bench.github.token}, {secrets(bench)[1].decode()}")


def failing_after(count: int, fault: Fault) -> Callable[[Bench], None]:
    def break_it(bench: Bench) -> None:
        first = len(bench.github.heard)
        bench.github.faults = lambda _method, _path, nth: fault if nth - first > count else None

    return break_it


BROKEN: dict[str, Callable[[Bench], None]] = {
    "a server that echoes it": echoed,
    "a revoked token": lambda bench: bench.github.revoke(bench.github.token),
    "a server that fails": failing_after(2, Fault.ERROR),
    "an interface that fails": failing_after(21, Fault.ERROR),
    "a limit": failing_after(21, Fault.PRIMARY_LIMIT),
    "a cut line": failing_after(21, Fault.CUT),
    "a cut line to git": failing_after(4, Fault.CUT),
}


DAILY = {"a server that echoes it", "an interface that fails", "a cut line to git"}


@pytest.mark.parametrize(
    "how", [how if how in DAILY else pytest.param(how, marks=pytest.mark.nightly) for how in BROKEN]
)
def test_the_token_is_in_no_error(bench: Bench, how: str, capfd: pytest.CaptureFixture[str]) -> None:
    bundle = bench.bundle()
    BROKEN[how](bench)
    with pytest.raises(RunbookoptError) as caught:
        bench.propose(bundle)
    chain = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=False).format())
    holds_none(bench, f"{caught.value!r} {chain}".encode(), "error")
    holds_none(bench, "".join(capfd.readouterr()).encode(), "output")
    no_file_holds_any(bench)


def test_no_record_shows_it(bench: Bench) -> None:
    access = Access(bench.github.api_url, bench.github.token, key="-----BEGIN PRIVATE KEY-----")
    client = Client(access, "octo/runbooks", QUICK)
    holds_none(bench, f"{access!r} {access} {client!r} {bench.forge!r}".encode(), "repr")
    assert "PRIVATE" not in repr(access)


def test_a_header_that_a_checkout_left_behind_does_not_get_in_the_way(bench: Bench) -> None:
    wrong = base64.b64encode(b"x-access-token:old").decode()
    bench_config = ["git", "-C", str(bench.repository.root), "config"]
    key = f"http.{bench.github.web_url}/.extraheader"
    subprocess.run([*bench_config, key, f"AUTHORIZATION: basic {wrong}"], check=True)
    assert bench.pull().number == 1


# ---- other people's words

HOSTILE = [
    "@octo/leads @bo please approve. Closes #1, fixes octo/runbooks#2, resolves GH-3",
    "closes https://github.com/octo/runbooks/issues/1 ![x](https://evil.example/?q) <img src=//evil.example>",
    "<!-- runbookopt: done 0123456789012345678901234567890123456789 sha256:" + "0" * 64 + " -->",
    "<!-- hidden --><details><summary>x</summary>[click](https://evil.example)</details>",
    "x\n\nRunbookopt-Bundle: sha256:" + "0" * 64 + "\n## Decision\n\n**Accepted.**",
    "\u202egnihton\u200b\u2066\U000e0041 \ufe0f `` ` ``` \n/approve\n/merge",
]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=str(number), marks=() if number in {0, 5} else pytest.mark.nightly)
        for number, text in enumerate(HOSTILE)
    ],
)
def test_hostile_words_reach_the_pull_request_without_any_power(bench: Bench, text: str) -> None:
    changes = (Change("rules", text, (text, "t-0")), Change(text, text, ()))
    bundle = seal(
        msgspec.structs.replace(bench.bundle(), changes=changes, models=(text,), reflected_on=(text,))
    )
    bench.propose(bundle)
    pull = bench.github.pull(1)
    body, wish = pull.body or "", pull.auto_merge
    assert wish is not None
    report, _, last = body.rstrip("\n").rpartition("\n")
    assert done(body) is not None
    assert last.startswith(f"<!-- runbookopt: done {pull.head_sha} ")
    powerless(report)
    plain_words(pull.title)
    plain_words(f"{(wish.headline or '').removesuffix(' (#1)')}\n{wish.body}")
    message = bench.repository.commit(bench.github.branches[BRANCH]).message
    plain_words(message)
    assert bundle_of(message) == bundle.digest
    trailers = read_trailers(f"x\n\n{wish.body}")
    assert trailers is not None
    assert trailers.bundle == bundle.digest


def powerless(report: str) -> None:
    """Hold that a CommonMark parser, with GitHub's tables and links, finds nothing but our own report."""
    parser = MarkdownIt("gfm-like", {"linkify": False})
    found = [token for top in parser.parse(report) for token in (top, *(top.children or ()))]
    banned = {"link_open", "image", "html_inline", "html_block"}
    assert {token.type for token in found} & banned == set()
    words = " ".join(token.content for token in found if token.type == "text")
    plain_words(words)
    headings = re.findall(r"^## (.*)$", report, re.MULTILINE)
    assert headings[:4] == ["Scores", "What decides", "Decision", "What changed, and why"]
    assert len(headings) == len(set(headings))
    assert all(line.isprintable() for line in report.split("\n"))


def plain_words(text: str) -> None:
    assert not re.search(r"(?<!\w)@\w", text), text
    assert not re.search(r"#\d|\bGH-\d", text), text
    assert not re.search(r"\b(close[sd]?|fix(e[sd])?|resolve[sd]?):?\s+https?://", text, re.IGNORECASE), text


def test_words_of_github_are_quoted_as_well() -> None:
    text = Body("Report", ("refused: @octo <!-- x --> closes #1",)).text()
    powerless_note = text.partition("## On GitHub")[2]
    tokens = [
        t
        for top in MarkdownIt("gfm-like", {"linkify": False}).parse(powerless_note)
        for t in (top, *(top.children or ()))
    ]
    assert {token.type for token in tokens} & {"link_open", "image", "html_inline", "html_block"} == set()
    assert "@octo" not in powerless_note
