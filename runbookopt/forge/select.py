"""Choice of the forge: by the settings, else by the address of origin."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from runbookopt.documents.settings import ForgeSettings
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.github.client import Client, Patience
from runbookopt.forge.github.credentials import Address, address, api_url, read_access, web_host
from runbookopt.forge.github.forge import GithubForge
from runbookopt.forge.local import LocalForge
from runbookopt.forge.protocol import Forge


def is_github(settings: ForgeSettings, repository: Repository, environ: Mapping[str, str]) -> bool:
    """Whether pull requests live at GitHub; asks nobody."""
    if settings.kind is not None:
        return settings.kind == "github"
    found = address(repository.origin.url)
    return found is not None and found.host == web_host(api_url(environ))


def chosen(
    settings: ForgeSettings,
    repository: Repository,
    environ: Mapping[str, str],
    patience: Patience | None = None,
) -> Forge:
    """The forge; at GitHub its token is also what git shows to origin from now on.

    Raises NoToken where GitHub is the forge and nothing says in whose name, and RunbookoptError.
    """
    if not is_github(settings, repository, environ):
        return LocalForge(repository)
    access = read_access(environ)
    found = address(repository.origin.url)
    here = found if found is not None and found.host == web_host(access.api_url) else None
    name = _name(settings, here)
    client = Client(access, name, patience)
    url = repository.origin.url or ""
    if here is not None and urlsplit(url).scheme in {"http", "https"}:
        repository.authorize(url, lambda: client.token)
    return GithubForge(repository, client)


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
