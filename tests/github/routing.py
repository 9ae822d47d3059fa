"""Which function answers which operation of the contract."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.github.state import Person, Token
from tests.github.world import Refused, World

Answer = tuple[int, Any]


@dataclass(frozen=True)
class Call:
    """A request that fits its contract: parameters of the path, of the query, and the body."""

    world: World
    token: Token | None
    parameters: dict[str, str]
    query: dict[str, str]
    body: dict[str, Any]

    @property
    def who(self) -> Person:
        if self.token is None:
            raise Refused(401, "Requires authentication")
        return self.world.person(self.token.login)

    def need(self, permission: str, level: str = "read") -> None:
        self.world.need(self.token, permission, level)


Handler = Callable[[Call], Answer]
ROUTES: dict[str, Handler] = {}


def route(*operations: str) -> Callable[[Handler], Handler]:
    """Register an answer: `@route("GET /user")`; `~` is short for the repository."""

    def register(handler: Handler) -> Handler:
        for each in operations:
            ROUTES[each.replace("~", "/repos/{owner}/{repo}")] = handler
        return handler

    return register
