"""GitHub's published contracts, and what of an exchange breaks them."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from graphql import GraphQLSchema, build_schema
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import ImmutableMultiDict

HERE = Path(__file__).parents[1] / "contracts"
WITH_SLASHES = frozenset({"basehead", "branch", "path", "ref"})
ANYWHERE = frozenset({401, 403, 404, 422, 429, 500, 502, 503})  # said by every operation, listed with few
BASIC_ERROR = frozenset({"message", "documentation_url", "status", "errors", "url"})


class ContractBroken(AssertionError):
    """An exchange that GitHub's contract does not allow."""


@dataclass(frozen=True)
class Operation:
    """One line of rest.txt."""

    method: str
    template: str
    expression: re.Pattern[str]
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.template}"

    def parameters(self, path: str) -> dict[str, str] | None:
        """Give the values of the template's parameters if this `path` is one of its own."""
        match = self.expression.fullmatch(path)
        return {key: unquote(value) for key, value in match.groupdict().items()} if match else None


@dataclass
class Asked:
    """A request as openapi-core wants to see it."""

    host_url: str
    path: str
    method: str
    parameters: RequestParameters
    content_type: str
    body: bytes | None


@dataclass
class Answered:
    """An answer as openapi-core wants to see it."""

    status_code: int
    data: bytes | None
    content_type: str = "application/json"
    headers: Mapping[str, Any] = field(default_factory=dict)


class Contracts:
    """Both contracts, read once for all tests of a process."""

    def __init__(self) -> None:
        self.description = _with_nulls(json.loads((HERE / "github-rest.json").read_text("utf-8")))
        self._one: dict[str, OpenAPI] = {}
        self._fine: set[tuple[object, ...]] = (
            set()
        )  # what was checked and kept to the contract, byte for byte
        sdl = (HERE / "github.graphql").read_text("utf-8")
        self.graphql: GraphQLSchema = build_schema(sdl, assume_valid_sdl=True, assume_valid=True)
        self.operations = sorted(self._operations(), key=lambda each: -len(each.template))

    def _operations(self) -> Iterator[Operation]:
        for template, item in self.description["paths"].items():
            for method in item.keys() - {"parameters"}:
                yield Operation(method.upper(), template, _expression(template), item[method])

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        for operation in self.operations:
            if operation.method == method and (found := operation.parameters(path)) is not None:
                return operation, found
        raise ContractBroken(f"{method} {path}: not among the operations of tests/contracts/rest.txt")

    def check_request(self, operation: Operation, asked: Asked) -> None:
        """Raise ContractBroken also for a parameter or a key of the body that GitHub would ignore."""
        where = f"request {operation.name}"
        seen = (where, asked.path, str(asked.parameters.query), asked.body)
        if seen in self._fine:
            return
        try:
            self._alone(operation).validate_request(asked)
        except OpenAPIError as error:
            raise ContractBroken(f"{where}: {_reasons(error)}") from error
        known = {self.resolved(each)["name"] for each in operation.facts.get("parameters", ())}
        if unknown := set(asked.parameters.query) - known:
            raise ContractBroken(f"{where}: unknown parameters {sorted(unknown)}")
        if asked.body:
            _no_others(where, json.loads(asked.body), self.body_schema(operation), self)
        self._fine.add(seen)

    def check_response(self, operation: Operation, asked: Asked, answered: Answered) -> None:
        where = f"response {answered.status_code} to {operation.name}"
        seen = (where, answered.data)
        if seen in self._fine:
            return
        if str(answered.status_code) not in operation.facts["responses"]:
            _check_common_refusal(where, answered)
        elif answered.data:
            try:
                self._alone(operation).validate_response(asked, answered)
            except OpenAPIError as error:
                raise ContractBroken(f"{where}: {_reasons(error)}") from error
            schema = self.response_schema(operation, answered.status_code)
            if answered.status_code < HTTPStatus.BAD_REQUEST:  # errors carry "status", which no schema tells
                _no_others(where, json.loads(answered.data), schema, self)
        self._fine.add(seen)

    def _alone(self, operation: Operation) -> OpenAPI:
        """Give a description of this operation alone, with nothing to look up: many times quicker to ask."""
        if operation.name not in self._one:
            facts = {operation.method.lower(): self._whole(operation.facts)}
            head = {key: self.description[key] for key in ("openapi", "info")}
            described = {**head, "paths": {operation.template: facts}}
            self._one[operation.name] = OpenAPI.from_dict(described, config=Config(spec_validator_cls=None))
        return self._one[operation.name]

    def _whole(self, node: Any) -> Any:  # noqa: ANN401 - JSON
        if isinstance(node, list):
            return [self._whole(each) for each in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return self._whole(self.resolved(node))
        # A discriminator only points at the alternatives by name: they stand here themselves.
        return {key: self._whole(value) for key, value in node.items() if key != "discriminator"}

    def body_schema(self, operation: Operation) -> Mapping[str, Any]:
        content = self.resolved(operation.facts.get("requestBody", {})).get("content", {})
        return content.get("application/json", {}).get("schema", {})

    def response_schema(self, operation: Operation, status: int) -> Mapping[str, Any]:
        answer = self.resolved(operation.facts["responses"].get(str(status), {}))
        return answer.get("content", {}).get("application/json", {}).get("schema", {})

    def resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in node:
            kind, name = node["$ref"].removeprefix("#/components/").split("/")
            node = self.description["components"][kind][name]
        return node


def _with_nulls(node: Any) -> Any:  # noqa: ANN401 - JSON
    """Say `nullable` beside alternatives as one more of them: OpenAPI 3.0 honours it beside a type only."""
    if isinstance(node, list):
        return [_with_nulls(each) for each in node]
    if not isinstance(node, dict):
        return node
    whole = {key: _with_nulls(value) for key, value in node.items()}
    for word in ("anyOf", "oneOf"):
        if whole.get("nullable") is True and word in whole:
            whole[word] = [*whole[word], {"type": "object", "nullable": True, "enum": [None]}]
    return whole


@cache
def contracts() -> Contracts:
    return Contracts()


def asked(
    operation: Operation, parameters: Mapping[str, str], query: Mapping[str, str], body: bytes
) -> Asked:
    """Give the request as GitHub's description has it: a slash within a parameter is quoted."""
    path = operation.template
    for name, value in parameters.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    told = RequestParameters(query=ImmutableMultiDict(query))
    return Asked(
        "https://api.github.com", path, operation.method.lower(), told, "application/json", body or None
    )


def _expression(template: str) -> re.Pattern[str]:
    def group(match: re.Match[str]) -> str:
        name = match[1]
        return f"(?P<{name}>{'.+' if name in WITH_SLASHES else '[^/]+'})"

    return re.compile(re.sub(r"\\{(\w+)\\}", group, re.escape(template)))


def _reasons(error: BaseException) -> str:
    details = [
        f"{each.json_path}: {each.message[:300]}" for each in getattr(error.__cause__, "schema_errors", ())
    ]
    return "; ".join(details or [str(error)[:600], str(error.__cause__ or "")[:600]])


def _check_common_refusal(where: str, answered: Answered) -> None:
    if answered.status_code not in ANYWHERE:
        raise ContractBroken(f"{where}: a status that GitHub does not give here")
    body = json.loads(answered.data or b"{}")
    if body.keys() - BASIC_ERROR or not isinstance(body.get("message"), str):
        raise ContractBroken(f"{where}: not a basic error: {body}")


def _no_others(where: str, value: object, schema: Mapping[str, Any], book: Contracts) -> None:
    """Hold that no key is made up: OpenAPI lets unknown ones pass."""
    schema = book.resolved(schema)
    if isinstance(value, list):
        for each in value:
            _no_others(where, each, schema.get("items", {}), book)
    known = known_properties(schema, book)
    if not isinstance(value, dict) or not known or "additionalProperties" in schema:
        return
    if unknown := value.keys() - known.keys():
        raise ContractBroken(f"{where}: unknown keys {sorted(unknown)}")
    for key, each in value.items():
        _no_others(f"{where}.{key}", each, known[key], book)


def known_properties(schema: Mapping[str, Any], book: Contracts) -> dict[str, Any]:
    """Give all properties that a value of this schema, or of one of its alternatives, may have."""
    schema = book.resolved(schema)
    known: dict[str, Any] = {}
    for word in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(word, ()):
            for key, each in known_properties(part, book).items():
                known[key] = {"anyOf": [known[key], each]} if key in known and known[key] != each else each
    return {**known, **schema.get("properties", {})}
