"""Records of no known format, read by a mapping that a person gives: which key is what."""

from collections.abc import Iterator, Mapping
from typing import Any

from runbookopt.documents.digest import as_text, digest_of
from runbookopt.documents.schema_errors import nearest, plain
from runbookopt.errors import WrongUsage
from runbookopt.evidence.formats.reader import (
    Contents,
    Fault,
    Format,
    Found,
    Item,
    Loss,
    Record,
    Sample,
    at,
    identity,
)
from runbookopt.evidence.trajectory import AgentRecord, TaskRecord, Trajectory

FIELDS = ("input", "output", "reference", "group", "id", "error", "agent", "model", "started_at")
"""What a mapping may name; `input` is needed."""

NAME = "mapped"


def read_mapping(text: str) -> dict[str, str]:
    """`input=question,output=answer.text` as keys by field; raises WrongUsage."""
    mapping: dict[str, str] = {}
    for pair in text.split(","):
        field, equals, key = (part.strip() for part in pair.partition("="))
        if not equals or not key:
            example = "as in input=question,output=answer"
            raise WrongUsage(f"--map: expected FIELD=KEY, got '{plain(pair)}', {example}")
        if field not in FIELDS:
            known = f"expected one of {', '.join(FIELDS)}"
            raise WrongUsage(f"--map: no field '{plain(field)}'{nearest(field, FIELDS)}: {known}")
        mapping[field] = key
    if "input" not in mapping:
        raise WrongUsage("--map: expected input=KEY, the key that holds what the agent was given")
    return mapping


def mapped(mapping: Mapping[str, str]) -> Format:
    """The format of records with these keys; `answer.text` is the key `text` within `answer`."""

    def read(contents: Contents) -> Iterator[Item]:
        for record in contents.records:
            yield from _attempt(record, mapping)

    return Format(NAME, "records with keys that were named", lambda sample: len(sample.values), read)


def keys_of(sample: Sample) -> list[str]:
    """The keys that a mapping could name: those of the values, and of the objects in them."""
    keys: dict[str, None] = {}
    for value in sample.mappings():
        for key, inner in value.items():
            keys[key] = None
            keys.update(dict.fromkeys(f"{key}.{each}" for each in inner) if isinstance(inner, dict) else {})
    return [key for key in keys if "," not in key and "=" not in key]


def _attempt(record: Record, mapping: Mapping[str, str]) -> Iterator[Item]:
    values = {field: _value(record.value, key) for field, key in mapping.items()}
    given = values["input"]
    if given is None:
        yield Fault(f"expected a value at '{plain(mapping['input'])}', the input", record.place)
        return
    used = {key.partition(".")[0] for key in mapping.values()}
    others = [key for key in record.value if key not in used and not {key} & set(mapping.values())]
    yield from (Loss(f"values of the key {plain(key)[:40]}") for key in others)
    texts = {field: None if value is None else as_text(value) for field, value in values.items()}
    agent = AgentRecord(texts.get("agent"), texts.get("model"))
    trajectory = Trajectory(
        id=identity(NAME, texts.get("id") or digest_of(record.value)[7:23]),
        task=TaskRecord(given, values.get("reference"), texts.get("group")),
        output=texts.get("output"),
        agent=agent if agent != AgentRecord() else None,
        started_at=texts.get("started_at"),
        error=texts.get("error") or None,
    )
    yield Found(trajectory, (), record.place)


def _value(value: object, key: str) -> Any:  # noqa: ANN401 - JSON has any shape
    """What stands at a key; one with a dot in it is first taken as it is."""
    whole = at(value, key)
    parts = (int(part) if part.isdecimal() else part for part in key.split("."))
    return whole if whole is not None else at(value, *parts)
