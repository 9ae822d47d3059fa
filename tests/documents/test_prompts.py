from pathlib import Path

import pytest

from runbookopt.documents.parse import MalformedFile
from runbookopt.documents.runbook import Locks, decode, replace, template_tokens, violations

PUBLIC = Path(__file__).parents[2] / ".." / "shared/data/formats/prompts"

IN_YAML = """\
# who owns this
name: Sort   # why
model: openai/gpt-4o
messages:
  - role: system
    content: |
      You sort {{input}}.

      ```
      {{example}}
      ```
  # about the user
  - role: user
    content: >-
      Ask: {{input}}

  - role: user
    content: "in quotes"
testData:
  - input: x
"""
DOTPROMPT = """\
# Copyright

---
model: some/model
config:
  temperature: 0.7  # low
---
{{role "system"}}
Be kind to {{name}}.
"""
PROMPTY = """\
---
name: basic
model: {id: gpt}
inputs: []
---
system:
Be kind.
{% if a %}
```
{{name}}
```
{% endif %}

user:
Hello
"""


def test_the_messages_of_a_prompt_in_yaml_are_its_parts_and_all_else_is_locked() -> None:
    runbook = decode(IN_YAML.encode(), path="sort.prompt.yml")
    assert runbook.text == IN_YAML
    assert [part.id for part in runbook.components] == ["system", "user"]
    assert template_tokens(IN_YAML) == {"{{input}}", "{{example}}"}
    locked = decode(IN_YAML.encode(), locks=Locks(("user",)), path="sort.prompt.yml")
    assert [part.id for part in locked.components] == ["system"]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "said",
    [
        "You sort {{input}} well.\n\n```\n{{example}}\n```",
        "You sort {{input}} well.\n\n      ```\n      {{example}}\n      ```\n",
        "      You sort {{input}} well.\n\n      ```\n      {{example}}\n      ```\n",
    ],
)
def test_an_edit_of_a_message_is_indented_and_leaves_the_rest_byte_for_byte(said: str, ending: str) -> None:
    text = IN_YAML.replace("\n", ending)
    runbook = decode(text.encode(), path="sort.prompt.yml")
    edited = replace(runbook, {"system": said})
    assert edited == text.replace("{{input}}.", "{{input}} well.")
    assert violations(runbook, edited) == ()


def test_a_new_line_among_those_that_stood_there_is_indented_as_they_are() -> None:
    runbook = decode(IN_YAML.encode(), path="sort.prompt.yml")
    old = runbook.part("system").text
    for said in (f"{old}Be brief.\n", f"{old.lstrip()}Be brief.\n", f"Be brief.\n{old}"):
        edited = replace(runbook, {"system": said})
        assert "\n      Be brief.\n" in edited
        assert "\n      You sort" in edited
        assert violations(runbook, edited) == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("You sort", "  role: x\n You sort"),
        ("  # about the user\n", "  - role: tool\n    content: |\n      More\n"),
        ("openai/gpt-4o", "openai/other"),
        ("messages:", "messages: &all"),
        ("in quotes", "{{input}} in quotes"),
    ],
)
def test_what_is_around_the_messages_of_a_prompt_stays(old: str, new: str) -> None:
    assert violations(decode(IN_YAML.encode(), path="a.prompt.yml"), IN_YAML.replace(old, new))


def test_a_prompt_in_yaml_without_messages_is_an_error_with_what_is_expected() -> None:
    with pytest.raises(MalformedFile, match=r"a.prompt.yml: expected a prompt in YAML: `messages`"):
        decode(b"name: x\n", path="a.prompt.yml")
    marked = IN_YAML.replace("You sort", "<!-- runbookopt: lock --> You sort")
    part = decode(marked.encode(), path="a.prompt.yml").part("system")
    assert part.locked == "it holds a lock marker, which has no meaning in YAML"


def test_a_prompt_s_settings_are_locked_and_all_its_text_is_a_template() -> None:
    runbook = decode(DOTPROMPT.encode(), path="a.prompt")
    assert (runbook.text, [part.id for part in runbook.components]) == (DOTPROMPT, ["preamble"])
    assert runbook.parts[0].text == DOTPROMPT.partition("{{role")[0]
    prompty = decode(PROMPTY.encode(), path="a.prompty")
    tokens = {"system: (1)", "user: (1)", "{%ifa%}", "{{name}}", "{%endif%}"}
    assert template_tokens(prompty.text) == tokens
    more = violations(prompty, PROMPTY.replace("Hello", "user:\nHello"))
    assert more == ('template token "user: (2)" is new',)


def test_a_markdown_page_that_begins_with_a_title_and_a_rule_has_no_front_matter() -> None:
    text = "# Title\n\n---\nNote: it is prose\n\n---\n\n## Rules\n"
    assert [part.id for part in decode(text.encode()).parts] == ["preamble", "rules"]


@pytest.mark.parametrize("path", sorted(PUBLIC.glob("*")), ids=lambda path: path.name)
def test_public_prompts_are_read_byte_for_byte(path: Path) -> None:
    runbook = decode(path.read_bytes(), path=path.name)
    assert runbook.text.encode() == path.read_bytes()
    assert runbook.parts[0].locked == "front matter"
