"""Trim GitHub's published contracts to the bare facts that the double of the forge is held to.

    python tests/contracts/trim.py FOLDER

FOLDER holds the unpacked npm packages `@octokit/openapi` (as `openapi/`) and `@octokit/graphql-schema` (as
`graphql-schema/`). Which operations and which types are kept stands in rest.txt and graphql.json beside this
file; prose, examples and GitHub's own extensions are left out. The outcome is the same for the same packages.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graphql import parse, print_ast
from graphql.language import ast

HERE = Path(__file__).parent
PROSE = frozenset({"description", "example", "examples", "externalDocs", "headers", "operationId", "summary"})
PROSE_OF_OPERATIONS = frozenset({"deprecated", "servers", "tags", "title"})
BY_NAME = frozenset({"properties", "schemas", "parameters", "responses", "paths"})  # their keys are names
LITERAL = frozenset({"enum", "default", "required"})
EMPTY: dict[str, Any] = {"description": None, "directives": ()}  # of each GraphQL definition

Json = dict[str, Any]


def trimmed_rest(whole: Json, kept: list[str]) -> Json:
    """Give the description of the operations `kept` ("GET /path"), with all that they refer to."""
    paths: Json = {}
    for line in kept:
        method, path = line.split()
        item = whole["paths"][path]
        paths.setdefault(path, {})[method.lower()] = item[method.lower()]
        if "parameters" in item:
            paths[path]["parameters"] = item["parameters"]
    document = {"paths": _bare(paths, names=True), "components": {}}
    missing = list(_references(document))
    while missing:
        kind, name = missing.pop().removeprefix("#/components/").split("/")
        place = document["components"].setdefault(kind, {})
        if name not in place:
            place[name] = _bare(whole["components"][kind][name])
            missing.extend(_references(place[name]))
    facts = {"openapi": whole["openapi"], "info": {"title": "GitHub", "version": whole["info"]["version"]}}
    return facts | _sorted(document)


def _bare(node: object, *, names: bool = False) -> object:
    """Strip `node`; `names`: its keys are names that somebody chose, not words of OpenAPI."""
    if isinstance(node, list):
        return [_bare(each) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node and not names:
        return {"$ref": node["$ref"]}
    kept = {key: value for key, value in node.items() if names or not _is_prose(key)}
    bare = {key: _stripped(key, value, names=names) for key, value in kept.items()}
    if "description" in node and ("content" in node or not bare):
        bare["description"] = ""  # an answer must have one
    return bare


def _stripped(key: str, value: object, *, names: bool) -> object:
    if key in LITERAL and not names:
        return value
    if key == "content" and not names:
        return {kind: _bare(body) for kind, body in value.items() if kind.endswith("json")}
    return _bare(value, names=not names and key in BY_NAME and isinstance(value, dict))


def _is_prose(key: str) -> bool:
    return key in PROSE or key in PROSE_OF_OPERATIONS or key.startswith("x-")


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _references(each)


def _sorted(node: Json) -> Json:
    return json.loads(json.dumps(node, sort_keys=True))


def trimmed_graphql(whole: str, fields: Mapping[str, list[str]]) -> str:
    """Give the schema with only the types and fields of `fields`, and what these take as arguments."""
    types = {
        each.name.value: each for each in parse(whole, no_location=True).definitions if hasattr(each, "name")
    }
    kept: dict[str, Any] = {}
    missing = sorted(fields)
    while missing:
        name = missing.pop()
        if name not in kept and name in types:  # scalars like Int are GraphQL's own
            kept[name] = _without_prose(_narrowed(types[name], fields))
            missing.extend(_names_of_types(kept[name]))
    return "\n\n".join(print_ast(kept[name]) for name in sorted(kept)) + "\n"


def _narrowed(definition: ast.Node, fields: Mapping[str, list[str]]) -> ast.Node:
    name = definition.name.value
    if not isinstance(definition, ast.ObjectTypeDefinitionNode | ast.InterfaceTypeDefinitionNode):
        return definition
    if name not in fields:
        raise SystemExit(f"graphql.json: say which fields of {name} are kept")
    there = {field.name.value: field for field in definition.fields}
    chosen = tuple(there[field] for field in fields[name])
    interfaces = tuple(each for each in definition.interfaces or () if each.name.value in fields)
    return _with(definition, fields=chosen, interfaces=interfaces)


def _without_prose(node: object) -> object:
    if isinstance(node, tuple | list):
        return tuple(_without_prose(each) for each in node)
    if not isinstance(node, ast.Node):
        return node
    bare = {key: _without_prose(getattr(node, key)) for key in node.keys if key != "loc"}
    return type(node)(**bare | {key: value for key, value in EMPTY.items() if key in bare})


def _with(node: ast.Node, **changed: object) -> ast.Node:
    return type(node)(**{key: getattr(node, key) for key in node.keys if key != "loc"} | changed)


def _names_of_types(node: object) -> Iterator[str]:
    if isinstance(node, ast.NamedTypeNode):
        yield node.name.value
    elif isinstance(node, ast.Node):
        for key in node.keys:
            yield from _names_of_types(getattr(node, key))
    elif isinstance(node, tuple | list):
        for each in node:
            yield from _names_of_types(each)


def trim(folder: Path) -> None:
    """Write both contracts beside this file."""
    whole = json.loads((folder / "openapi/generated/api.github.com.json").read_text("utf-8"))
    rest = trimmed_rest(whole, (HERE / "rest.txt").read_text("utf-8").splitlines())
    (HERE / "github-rest.json").write_text(json.dumps(rest, separators=(",", ":")) + "\n", "utf-8")
    schema = (folder / "graphql-schema/schema.graphql").read_text("utf-8")
    fields = json.loads((HERE / "graphql.json").read_text("utf-8"))
    (HERE / "github.graphql").write_text(trimmed_graphql(schema, fields), "utf-8")


if __name__ == "__main__":
    trim(Path(sys.argv[1]))
