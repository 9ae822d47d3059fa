"""Client of GitHub's interface: what is asked of it, and told to it (the only file that knows PyGithub).

Questions are asked again where no answer comes. A change is sent once; where it is unclear what became of
it, its sender looks before it is sent again (PyGithub by itself sends a failing POST eleven times). Limits
are waited for, but not for long.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.output import GitFailed, OriginUnreachable
from runbookopt.forge.github.answers import Unclear, read
from runbookopt.forge.github.credentials import Access

if TYPE_CHECKING:
    import github

PAGE = 100
Found = TypeVar("Found")


class Patience(Struct, frozen=True):
    """How long is waited, in seconds: `for_limits` in all, `pauses` one after the other before looking again.

    `between` is the least time between two requests, and between two changes, as GitHub wants it.
    """

    for_limits: float = 120.0
    pauses: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    between: tuple[float, float] = (0.25, 1.0)
    sleep: Callable[[float], None] = time.sleep


class Refusal(GitFailed):
    """GitHub says no; `code` is the HTTP status, `words` is what it says."""

    def __init__(self, code: int, words: str, doing: str) -> None:
        self.code, self.words = code, words
        super().__init__(f"GitHub refuses to {doing}: {words} ({code}){_ADVICE.get(code, '')}")


class LimitReached(GitFailed):
    """GitHub takes no more requests for now."""


class _Limited(Exception):
    """GitHub wants some seconds of rest."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(seconds)


class _Login(Struct, frozen=True):
    login: str


class _Viewer(Struct, frozen=True):
    viewer: _Login


class _Answered(Struct, frozen=True):
    data: dict[str, Any]


_MOST_PAGES = 1000
_RESTING = re.compile(r"rate limit|abuse detection|submitted too quickly", re.IGNORECASE)
_USUAL = Patience()
_ADVICE = {
    401: "; the token is not valid, or not any more: set a new one",
    403: "; give the token the permissions contents, pull requests and issues: write",
    404: "; GitHub also says so of what a token may not see: check its repositories and permissions",
}


class Client:
    """One repository ("owner/name") at GitHub, as whoever `access` stands for."""

    def __init__(self, access: Access, repository: str, patience: Patience | None = None) -> None:
        self.repository = repository
        self._access, self._patience = access, patience or _USUAL
        self._rested = 0.0
        logging.getLogger("urllib3").addHandler(logging.NullHandler())  # else it tells stderr of each retry
        self._auth = self._patiently(lambda: self._doing("sign in", self._signed_in))
        self._reads, self._writes = self._new(retries=len(self._patience.pauses)), self._new(retries=0)

    def __repr__(self) -> str:
        return f"Client({self.repository}, {self._access!r})"

    @property
    def token(self) -> str:
        """The token, which is short-lived for an app and is renewed when it runs out."""
        return self._patiently(lambda: self._doing("sign in", lambda: self._auth.token))

    # Asking -------------------------------------------------------------------------------------------------

    def ask(self, path: str, **query: str | int) -> object:
        """The answer to one question; `~` stands for the repository. Raises GitFailed."""
        return self._page(path, query)[1]

    def ask_all(self, path: str, **query: str | int) -> list[object]:
        """A whole list, page by page, as the header `Link` leads: a page may be short and not the last.

        Raises GitFailed.
        """
        listed: list[object] = []
        following: Mapping[str, str | int] | None = {**query, "per_page": PAGE, "page": 1}
        for _ in range(_MOST_PAGES):
            headers, page = self._page(path, following)
            if not isinstance(page, list):
                raise Unclear(f"GitHub gives no list for {self._path(path)}: run this again in a minute")
            listed += page
            following = _next(headers)
            if following is None:
                return listed
        raise Unclear(f"GitHub's list {self._path(path)} does not end after {_MOST_PAGES} pages")

    def viewer(self) -> str:
        """The login that the token speaks for. Raises GitFailed."""
        return read(self.query("{ viewer { login } }"), _Viewer).viewer.login

    @property
    def pauses(self) -> tuple[float, ...]:
        """Seconds to wait, one after the other, for what GitHub does not know at once."""
        return self._patience.pauses

    def wait(self, seconds: float) -> None:
        """Wait, as patience has it."""
        self._patience.sleep(seconds)

    def is_renamed(self, name: str) -> None:
        """Go on under the name that the repository has by now: no change is sent to the old one."""
        self.repository = name

    def query(self, text: str, **variables: object) -> dict[str, Any]:
        """The answer of GraphQL to a question. Raises GitFailed."""

        def asking() -> dict[str, Any]:
            return read(self._writes.requester.graphql_query(text, dict(variables))[1], _Answered).data

        for pause in self._patience.pauses:
            try:
                return self._patiently(lambda: self._doing("show that", asking))
            except Unclear:
                self._patience.sleep(pause)
        return self._patiently(lambda: self._doing("show that", asking))

    # Changing -----------------------------------------------------------------------------------------------

    def change(self, doing: str, send: Callable[[], Found], look: Callable[[], Found | None]) -> Found:
        """Send a change once; where its fate is unclear, `look` first whether it happened.

        `look` gives what the change would have given, None where it has not happened. Raises GitFailed.
        """
        for pause in (*self._patience.pauses, None):
            try:
                return self._doing(doing, send)
            except _Limited as limited:
                self._rest(limited)
                failed: GitFailed | None = None
            except OriginUnreachable as error:
                failed = error
            if failed and pause is not None:
                self._patience.sleep(pause)
            found = look()
            if found is not None:
                return found
        raise failed or LimitReached(f"GitHub refuses to {doing} for now: run this again in some minutes")

    def send(self, method: str, path: str, body: Mapping[str, object] | None = None) -> object:
        """Send a change, once; for use within `change`."""
        given = dict(body) if body is not None else None
        return self._writes.requester.requestJsonAndCheck(method, self._path(path), input=given)[1]

    def mutate(self, name: str, given: Mapping[str, object]) -> None:
        """Send a GraphQL mutation, once; for use within `change`."""
        self._writes.requester.graphql_named_mutation(name, dict(given), "clientMutationId")

    def awaited(self, look: Callable[[], Found | None]) -> Found | None:
        """Look until something is there that GitHub does not list at once."""
        for pause in (0.0, *self._patience.pauses):
            self._patience.sleep(pause)
            found = look()
            if found is not None:
                return found
        return None

    # Below --------------------------------------------------------------------------------------------------

    def _path(self, path: str) -> str:
        return path.replace("~", f"/repos/{self.repository}", 1)

    def _page(self, path: str, query: Mapping[str, str | int] | None) -> tuple[Mapping[str, Any], object]:
        def asking() -> tuple[Mapping[str, Any], object]:
            given = dict(query or {})
            return self._reads.requester.requestJsonAndCheck("GET", self._path(path), parameters=given)

        return self._patiently(lambda: self._doing(f"show {self._path(path)}", asking))

    def _signed_in(self) -> "github.Auth.Token | github.Auth.AppInstallationAuth":
        from github import Auth, GithubIntegration

        access = self._access
        if access.token is not None:
            return Auth.Token(access.token)
        app = Auth.AppAuth(access.app_id or "", access.key or "")
        integration = GithubIntegration(auth=app, base_url=access.api_url, **self._manners(retries=2))
        installation = integration.get_repo_installation(*self.repository.split("/"))
        return app.get_installation_auth(installation.id, requester=integration.requester)

    def _new(self, *, retries: int) -> "github.Github":
        from github import Github

        return Github(base_url=self._access.api_url, auth=self._auth, **self._manners(retries=retries))

    def _manners(self, *, retries: int) -> dict[str, Any]:
        from github import GithubRetry

        class Again(GithubRetry):
            """Asks again where GitHub fails; its limits are left to `_patiently`, which has a bound."""

            def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
                return status_code not in {403, 429} and super().is_retry(
                    method, status_code, has_retry_after
                )

        between, between_writes = self._patience.between
        again = Again(
            total=retries,
            backoff_factor=self._patience.pauses[0] if self._patience.pauses else 0,
            backoff_max=max(self._patience.pauses, default=0),
            allowed_methods={"GET", "HEAD"},
            respect_retry_after_header=False,
        )
        return {
            "retry": again if retries else None,
            "seconds_between_requests": between,
            "seconds_between_writes": between_writes,
            "user_agent": "runbookopt",
        }

    def _patiently(self, ask: Callable[[], Found]) -> Found:
        while True:
            try:
                return ask()
            except _Limited as limited:
                self._rest(limited)

    def _rest(self, limited: _Limited) -> None:
        """Wait as long as GitHub wants, unless that is too long. Raises LimitReached with the time."""
        if self._rested + limited.seconds > self._patience.for_limits:
            until = datetime.now(UTC) + timedelta(seconds=limited.seconds)
            raise LimitReached(
                f"GitHub takes no more requests until {until:%Y-%m-%d %H:%M:%S} UTC: run this again then;"
                " what is done stays done"
            )
        self._rested += max(limited.seconds, 0.01)
        self._patience.sleep(limited.seconds)

    def _doing(self, doing: str, act: Callable[[], Found]) -> Found:
        """Turn GitHub's errors into ours. Raises Refusal, Unclear, _Limited, RunbookoptError."""
        from github import GithubException
        from jwt import PyJWTError  # noqa: PLC0415 - comes with PyGithub, and is as slow

        try:
            return act()
        except GithubException as error:
            raise self._told(error, doing) from None
        except OSError as error:  # what `requests` raises is one
            raise Unclear(f"GitHub gives no answer: {self._clean(_short(error))}") from None
        except (PyJWTError, ValueError) as error:
            if self._access.key and isinstance(error, PyJWTError):
                raise RunbookoptError("the private key of the GitHub App cannot be used to sign") from None
            raise Unclear("GitHub gives an answer that is no JSON") from None
        except RuntimeError as error:  # a redirection to another host
            raise Unclear(self._clean(_short(error))) from None
        except (AttributeError, KeyError, TypeError) as error:
            *_, (frame, _) = walk_tb(error.__traceback__)
            if not str(frame.f_globals.get("__name__", "")).startswith("github."):
                raise  # a slip of ours; PyGithub's own is over JSON that it did not expect
            raise Unclear("GitHub gives an answer of another shape than it has") from None

    def _told(self, error: "github.GithubException", doing: str) -> Exception:
        words = "; ".join(_words(error.data)) or "it does not say why"
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        if _is_limit(error.status, error.data, words, headers):
            return _Limited(_seconds(headers))
        if error.status >= 500 or "Something went wrong" in words:  # noqa: PLR2004 - HTTP's own number
            return Unclear(f"GitHub fails: {self._clean(words)} ({error.status})")
        return Refusal(error.status, self._clean(words), doing)

    def _clean(self, words: str) -> str:
        secrets = [secret for secret in (self._access.token, self._access.key) if secret]
        for secret in secrets:
            words = words.replace(secret, "[secret]")
        return words[:500]


def _words(answer: object) -> Iterator[str]:
    """All that a refusal says: its message, and that of each error."""
    if isinstance(answer, str):
        yield answer.splitlines()[0] if answer else ""
        return
    if not isinstance(answer, dict):
        return
    message = answer.get("message")
    errors = [error for error in answer.get("errors") or [] if isinstance(error, dict | str)]
    if message and not (errors and message == "Validation Failed"):
        yield " ".join(str(message).split())
    for error in errors:
        if isinstance(error, str):
            yield error
        else:
            yield error.get("message") or " ".join(str(error.get(key, "")) for key in ("field", "code"))


def _is_limit(status: int, answer: object, words: str, headers: Mapping[str, Any]) -> bool:
    """Whether GitHub wants rest, and refuses nothing: by the status, a type, a code, or the words alone.

    400 is PyGithub's number for GraphQL's errors, which come with 200.
    """
    if status not in {400, 403}:
        return status == 429  # noqa: PLR2004 - HTTP's own number
    if status == 403 and "retry-after" in headers:  # noqa: PLR2004
        return True
    errors = answer.get("errors") if isinstance(answer, dict) else None
    told = [error for error in errors or () if isinstance(error, dict)] if isinstance(errors, list) else []
    extensions = [each for error in told if isinstance(each := error.get("extensions"), dict)]
    kinds = [str(each.get(key, "")).upper() for each in (*told, *extensions) for key in ("type", "code")]
    return bool(_RESTING.search(words)) or any("RATE_LIMIT" in kind for kind in kinds)


def _next(headers: Mapping[str, Any]) -> dict[str, str | int] | None:
    """The query of the page that `Link` names as the next one; None on the last page."""
    link = next((str(value) for name, value in headers.items() if name.lower() == "link"), "")
    found = re.search(r'<([^>]*)>\s*;[^,]*rel="?next"?', link)
    return dict(parse_qsl(urlsplit(found[1]).query)) if found else None


def _seconds(headers: Mapping[str, Any]) -> float:
    """Seconds that GitHub wants no requests; where it does not say, the minute of its manual."""
    after, reset = str(headers.get("retry-after", "")), str(headers.get("x-ratelimit-reset", ""))
    if after.isdigit():
        return float(after)
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
        now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
        return max(1.0, float(reset) - now.timestamp() + 1)
    return 60.0


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
