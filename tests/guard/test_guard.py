import random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.documents.runbook import parse, reparse
from runbookopt.forge.git.output import FileChange
from runbookopt.guard.guard import GuardReport, guard
from runbookopt.guard.kinds import Introduced

PATH = "runbooks/triage/RUNBOOK.md"
TEXT = """---
name: triage
version: 1.2.0
---

# Triage

Read the whole message. See https://wiki.example/triage and {{customer}}.

## Rules

- If the message mentions "lost card", answer `card-lost`.
- If the customer forgot a password, answer `login-access`.

```
triage --queue card-lost
```

## Escalation

Write to duty@bank.example, then run `triage escalate --now`.

<!-- runbookopt: lock -->
Never promise a date.
<!-- runbookopt: unlock -->

## Evaluation

Once a month.
"""
BEFORE = parse(TEXT)
EDITED = FileChange("M", PATH, PATH, "100644", "100644")


def judged(text: str, *changes: FileChange) -> GuardReport:
    return guard(changes or (EDITED,), path=PATH, before=BEFORE, after=text)


def introduced(text: str) -> dict[str, tuple[str, ...]]:
    return {kind: things for kind, things in judged(text).introduces.items() if things}


def with_rule(rule: str) -> str:
    return TEXT.replace("- If the customer", f"{rule}\n- If the customer")


def test_an_edit_of_a_component_with_the_version_bump_is_free_of_violations() -> None:
    text = with_rule('- If the message mentions "machine", answer `card-swallowed`.').replace(
        "1.2.0", "1.2.1"
    )
    assert judged(text) == GuardReport((), dict.fromkeys(get_args(Introduced), ()))


@pytest.mark.parametrize(
    ("change", "violations"),
    [
        (FileChange("M", "x.yaml", "x.yaml", "100644", "100644"), ["another file is touched: 'x.yaml'"]),
        (
            FileChange("A", None, "a\n.md", None, "100644"),
            ["another file is touched: 'a\\n.md'", "a file is added: 'a\\n.md'"],
        ),
        (FileChange("D", PATH, None, "100644", None), [f"a file is deleted: '{PATH}'"]),
        (
            FileChange("R", PATH, "x.md", "100644", "100644"),
            ["another file is touched: 'x.md'", f"a file is renamed: '{PATH}' to 'x.md'"],
        ),
        (
            FileChange("M", PATH, PATH, "100644", "100755"),
            [f"the mode of '{PATH}' changes from 100644 to 100755"],
        ),
        (FileChange("T", PATH, PATH, "100644", "120000"), [f"'{PATH}' becomes a symbolic link"]),
        (
            FileChange("A", None, "sub", None, "160000"),
            ["another file is touched: 'sub'", "'sub' becomes a submodule"],
        ),
    ],
    ids=lambda value: value.status + (value.new_mode or "") if isinstance(value, FileChange) else "",
)
def test_whatever_is_not_the_content_of_the_one_file_is_a_violation(
    change: FileChange, violations: list[str]
) -> None:
    assert list(judged(TEXT, EDITED, change).violations) == violations


VIOLATIONS = {
    "locked section": ("Once a month.", "Never."),
    "lock markers": ("Never promise", "Always promise"),
    "unlocked": ("<!-- runbookopt: lock -->\n", ""),
    "front matter": ("name: triage", "name: other"),
    "policy in the front matter": ("name: triage", "name: triage\nmerge: auto"),
    "version": ("1.2.0", "9.0.0"),
    "part removed": ("## Rules\n\n", ""),
    "part added": ("## Rules", "## More\n\n## Rules"),
    "part renamed": ("## Rules", "## Other rules"),
    "lost token": ("{{customer}}", "the customer"),
    "new token": ("Read the", "Read ${HOME} and the"),
    "hidden": ("Read the", "Read\u200b the"),
    "bidirectional": ("Read the", "Read \u202eeht\u202c the"),
    "comment": ("Read the", "Read <!-- and obey --> the"),
    "private key": ("Read the", "-----BEGIN OPENSSH PRIVATE KEY----- the"),
    "AWS": ("Read the", "AKIA" + "QWERTYUIOPASDFGH the"),
    "GitHub": ("Read the", "ghp_" + "a1B2" * 9 + " the"),
    "password in a URL": ("Read the", "https://bot:hunter22@x.example the"),
}


@pytest.mark.parametrize("planted", VIOLATIONS.values(), ids=VIOLATIONS)
def test_each_planted_violation_is_found(planted: tuple[str, str]) -> None:
    assert judged(TEXT.replace(*planted)).violations


@given(st.sets(st.sampled_from(sorted(VIOLATIONS.keys() - {"unlocked"})), min_size=2))
def test_several_violations_are_all_listed(names: set[str]) -> None:
    alone = [set(judged(TEXT.replace(*VIOLATIONS[name])).violations) for name in sorted(names)]
    text = TEXT
    for name in sorted(names):
        text = text.replace(*VIOLATIONS[name])
    assert len(judged(text).violations) >= len(set.union(*alone)) - len(names)
    assert judged(text).violations


SECRETS = [
    "-----BEGIN RSA PRIVATE KEY-----",
    "ASIA" + "ABCDEFGHIJKLMNOP",
    "github_pat_" + "a" * 30,
    "glpat-" + "a" * 20,
    "xoxb-" + "1" * 12,
    "sk_live_" + "a" * 24,
    "AIza" + "a" * 35,
    "npm_" + "a" * 36,
    "pypi-" + "A" * 60,
    "hf_" + "a" * 34,
    "sk-ant-" + "a" * 40,
    "eyJ" + "a" * 20 + ".eyJ" + "a" * 20 + "." + "a" * 20,
]
HIDDEN = ["\u200b", "\u202e", "\u2066", "\ufeff", "\u00ad", "\U000e0041", "\u3164"]


@given(st.sampled_from([*SECRETS, *HIDDEN]), st.integers(0, 10_000))
def test_a_planted_violation_is_found_wherever_it_stands(planted: str, place: int) -> None:
    words = [*TEXT.split(" ")]
    place = 1 + place % (len(words) - 1)
    text = " ".join([*words[:place], planted, *words[place:]])
    report = guard([EDITED], path=PATH, before=BEFORE, after=text)
    assert report.violations
    assert planted not in repr(report)
    assert planted[:15] not in repr(report) or len(planted) < 30  # nor most of it


def test_an_old_secret_is_not_the_candidates() -> None:
    before = parse(TEXT + "ghp_" + "a1B2" * 9)
    after = reparse(before, before.text.replace("Read the whole", "Skim the"))
    assert guard([EDITED], path=PATH, before=before, after=after).violations == ()


def test_the_address_with_a_password_is_told_without_it() -> None:
    report = judged(with_rule("https://bot:hunter22@evil.example/x"))
    assert report.violations == ("a password in a URL is brought in at line 13",)
    assert report.introduces["urls"] == ("[secret]evil.example/x (line 13)",)


def test_a_text_that_cannot_be_read_is_a_violation() -> None:
    text = TEXT.replace("<!-- runbookopt: lock -->\n", "")
    assert "cannot be read" in guard([EDITED], path=PATH, before=BEFORE, after=text).violations[0]


URLS = {
    "https://evil.example/x": "https://evil.example/x",
    "<ftp://evil.example>": "ftp://evil.example",
    "[here](https://evil.example/a?b=c).": "https://evil.example/a?b=c",
    "[here](&#104;ttps://evil.example)": "https://evil.example",
    "[here](//evil.example/x)": "//evil.example/x",
    "![](data:image/png;base64,AAAA)": "data:image/png;base64,AAAA",
    "[x](javascript:alert(1))": "javascript:alert(1",
    "www.evil.example": "www.evil.example",
    "ask evil.rodeo first": "evil.rodeo",
    "evil[.]example": "evil[.]example",
    "ask evil\u3002example": "evil\u3002example",
    "**evil**.example": "evil.example",
    "\uff45vil.example": "evil.example",
    "me@evil.example": "me@evil.example",
    "10.1.2.3:8080/x": "10.1.2.3:8080/x",
    "ping fe80::1 now": "fe80::1",
    "localhost:80": "localhost:80",
    "get.install.sh": "get.install.sh",
    "install.sh/now": "install.sh/now",
}


@pytest.mark.parametrize(("rule", "url"), URLS.items())
def test_a_new_address_is_introduced(rule: str, url: str) -> None:
    assert f"{url} (line 13)" in introduced(with_rule(rule))["urls"]


COMMANDS = {
    "```sh\nls\n```": "ls",
    "1. $ ls -la": "$ ls -la",
    "Then curl -s x and go on": "curl -s x and go on",
    "cu**rl** it": "curl it",
    "send it to | sh": "| sh",
    "save it with | sudo bash -": "| sudo bash -",
    "use sudo": "sudo",
    "rm -rf /": "rm -rf /",
    "`delete --all`": "delete --all",
    "`./go`": "./go",
    "`a;b`": "a;b",
    "pip install x": "pip install x",
    "echo $(id)": "$(id)",
    "python -c 1": "python -c 1",
    "Invoke-WebRequest x": "Invoke-WebRequest x",
}


@pytest.mark.parametrize(("rule", "command"), COMMANDS.items())
def test_a_new_command_is_introduced(rule: str, command: str) -> None:
    assert any(thing.startswith(f"{command} (line") for thing in introduced(with_rule(rule))["commands"])


CREDENTIALS = {
    "ask for the password": "password",
    "ask for their PIN": "pin",
    "read the API-key": "api key",
    "apiKey": "api key",
    "print AWS_SECRET_ACCESS_KEY": "access key",
    "accessTokens": "token",
    "pass**word**": "password",
    "\uff50assword": "password",
    "your credentials": "credential",
}


@pytest.mark.parametrize(("rule", "word"), CREDENTIALS.items())
def test_a_credential_word_is_introduced_when_there_is_one_more_of_it(rule: str, word: str) -> None:
    assert any(thing.startswith(word) for thing in introduced(with_rule(rule))["credentials"])
    assert introduced(TEXT.replace("forgot a password", "is lost")) == {}


UNSEEN = [
    "<span>x</span>",
    "[//]: # (obey)",
    "[x](y 'obey')",
    f"so{' ' * 90}obey",
    "a\u200bb",
    "<!-- obey -->",
]


@pytest.mark.parametrize("rule", UNSEEN, ids=range(len(UNSEEN)))
def test_what_a_reader_does_not_see_is_introduced(rule: str) -> None:
    assert introduced(with_rule(f"\n{rule}\n"))["hidden-text"]


PLAIN = [
    '- If the message mentions "ate my card", answer `card-swallowed`.',
    "Version 1.2.3, e.g. at 12:30:45 or 8.30 p.m., costs 3.5 kg; ratio 3:4:5; and/or.",
    'See README.md, setup.py and `$.queue`. Answer `{"queue": "x"}`.',
    "[the rules](#rules) and std::vector, at 50 % | 60 %.",
    '- If the message mentions "signal" or "no service", answer `network`.',
]


@pytest.mark.parametrize("how", ["over Signal", "via signal", "on WhatsApp"])
def test_a_service_that_messages_go_through_is_a_recipient(how: str) -> None:
    assert introduced(with_rule(f"- Send the summary {how} as well."))["recipients"]


@pytest.mark.parametrize("rule", PLAIN, ids=range(len(PLAIN)))
def test_plain_text_introduces_nothing(rule: str) -> None:
    # a line without a mark of its own goes on the rule above it, and says so
    assert introduced(with_rule(rule if rule.startswith("- ") else f"\n{rule}")) == {}


BLOCKS = [
    *URLS,
    *(command for command in COMMANDS if not command.startswith("~~~")),
    *CREDENTIALS,
    *PLAIN,
    "Just words.",
]


@given(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_moving_text_introduces_nothing_but_another_order(blocks: list[str], rng: random.Random) -> None:
    moved = rng.sample(blocks, len(blocks))
    before, after = ("## Rules\n\n" + "\n\n".join(part) + "\n" for part in (blocks, moved))
    report = guard([EDITED], path=PATH, before=parse(before), after=parse(after))
    assert {kind for kind, things in report.introduces.items() if things} <= {"sorting"}
    assert all(thing.startswith("rules are in another order") for thing in report.introduces["sorting"])


@given(
    st.sampled_from([*URLS, *COMMANDS, *CREDENTIALS, *UNSEEN]),
    st.lists(st.sampled_from(PLAIN)),
    st.integers(0, 9),
)
def test_what_is_planted_anywhere_is_introduced(planted: str, others: list[str], place: int) -> None:
    blocks = [*others[:place], planted, *others[place:]]
    before, after = ("## Rules\n\n" + "\n\n".join(part) + "\n" for part in (others, blocks))
    report = guard([EDITED], path=PATH, before=parse(before), after=parse(after))
    assert any(report.introduces.values())


def test_what_is_told_is_one_printable_line() -> None:
    things = introduced(with_rule(f"https://evil.example/\x1b[31m\u202e{'x' * 500}"))["urls"]
    assert all(thing.isprintable() and len(thing) < 200 for thing in things)
