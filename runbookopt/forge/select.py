"""Choice of the forge: by the settings, else by the address that git really talks to."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec.structs import replace

from runbookopt.documents.schema_errors import plain
from runbookopt.documents.settings import ForgeSettings
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.github.client import Client, Patience
from runbookopt.forge.github.credentials import (
    Address,
    address,
    api_url,
    is_folder,
    known_host,
    read_access,
    web_host,
)
from runbookopt.forge.github.forge import GithubForge
from runbookopt.forge.local import LocalForge
from runbookopt.forge.protocol import Forge


class UnknownForge(RunbookoptError):
    """Origin is at a server that is not known to be GitHub, and nobody said where pull requests live."""

    def __init__(self, url: str, host: str, server: str | None) -> None:
        behind = "" if server in {None, host} else f", which ssh's configuration takes for {server}"
        super().__init__(
            f"where do pull requests live? origin is {plain(url)}{plain(behind)}, which is not known to be"
            f" GitHub ({host} is). Set `defaults: {{forge: {{kind: ...}}}}` in runbookopt.yaml: `github` with"
            " `repository: owner/name`, and GITHUB_API_URL=https://HOST/api/v3 where it is an Enterprise"
            " Server; or `local`, which keeps them in origin as refs/runbookopt/pulls/N, where no page of"
            " the server shows them"
        )


def is_github(settings: ForgeSettings, repository: Repository, environ: Mapping[str, str]) -> bool:
    """Whether pull requests live at GitHub; asks nobody.

    Raises UnknownForge where origin is a server that is not known to be GitHub, and the settings are silent.
    """
    if settings.kind is not None:
        return settings.kind == "github"
    url, host = repository.origin.url, web_host(api_url(environ))
    if url is None or is_folder(url):
        return False
    if _at_github(repository, host) is not None:
        return True
    raise UnknownForge(url, host, repository.origin.server())


def chosen(
    settings: ForgeSettings,
    repository: Repository,
    environ: Mapping[str, str],
    patience: Patience | None = None,
) -> Forge:
    """The forge; at GitHub its token is also what git shows to origin from now on.

    Raises NoToken where GitHub is the forge and nothing says in whose name, UnknownForge, RunbookoptError.
    """
    if not is_github(settings, repository, environ):
        return LocalForge(repository)
    access = read_access(environ)
    here = _at_github(repository, web_host(access.api_url))
    client = Client(access, _name(settings, here), patience)
    url = repository.origin.url or ""
    if here is not None and urlsplit(url).scheme in {"http", "https"}:
        repository.authorize(url, lambda: client.token)
    return GithubForge(repository, client)


def _at_github(repository: Repository, host: str) -> Address | None:
    """Origin's address, where it is at this host: by itself, or by what ssh's configuration has for it.

    Raises RunbookoptError where git would push to another repository than it fetches from.
    """
    found = _resolved(repository.origin.url, repository, host)
    if found is None:
        return None
    pushed = repository.origin.push_url
    if pushed not in {None, repository.origin.url} and address(pushed) != found:
        there = _resolved(pushed, repository, host)
        if there is None or there.name.casefold() != found.name.casefold():
            raise RunbookoptError(
                f"git fetches from {found.name} and pushes to {plain(pushed or '')}, and pull requests are"
                " made from branches of origin: make origin one repository (git remote set-url origin URL)"
            )
    return found


def _resolved(url: str | None, repository: Repository, host: str) -> Address | None:
    found = address(url)
    if found is not None and found.host != host:
        server = repository.origin.server(url)
        found = replace(found, host=known_host(server)) if server else found
    return found if found is not None and found.host == host else None


def _name(settings: ForgeSettings, here: Address | None) -> str:
    if here is None:
        if settings.repository is None:
            raise RunbookoptError(
                "which repository at GitHub? origin's address does not say it: set `forge.repository:"
                " owner/name` in runbookopt.yaml, and GITHUB_API_URL where it is no github.com"
            )
        return settings.repository
    if settings.repository is not None and settings.repository.casefold() != here.name.casefold():
        raise RunbookoptError(
            f"forge.repository is {settings.repository}, and origin is {here.name}: pull requests are made"
            " from branches of origin, so make them the same"
        )
    return here.name
