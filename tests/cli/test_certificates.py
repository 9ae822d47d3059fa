"""A company's own authority, named by whichever variable: models, GitHub and git alike trust it."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from runbookopt.cli.certificates import NAMES, trusted_by_all
from runbookopt.forge.git.output import OriginUnreachable
from runbookopt.forge.git.repository import Repository
from tests.cli.conftest import KEY

if TYPE_CHECKING:
    from tests.cli.conftest import Modelling
    from tests.conftest import Clone


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NAMES, "GIT_SSL_CAINFO"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_one_variable_stands_for_all(tmp_path: Path, name: str) -> None:
    bundle = tmp_path / "company.pem"
    environ = {name: str(bundle)}
    trusted_by_all(environ)
    assert environ == {name: str(bundle)}, "a file that is not there stands for nothing"
    bundle.touch()
    trusted_by_all(environ)
    assert {environ["SSL_CERT_FILE"], environ["REQUESTS_CA_BUNDLE"]} == {str(bundle)}


def test_what_is_set_stays_as_it_is(tmp_path: Path) -> None:
    for name in ("a.pem", "b.pem"):
        (tmp_path / name).touch()
    environ = {"REQUESTS_CA_BUNDLE": f"{tmp_path}/a.pem", "SSL_CERT_FILE": f"{tmp_path}/b.pem"}
    before = dict(environ)
    trusted_by_all(environ)
    assert environ == before


def test_git_trusts_what_all_else_trusts_unless_it_was_told_otherwise(
    repo: Callable[..., "Clone"],
    openai_server: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clone, bundle = repo(), tmp_path / "company.pem"
    with openai_server.Server(tls=True) as server:
        bundle.write_text(server.certificate)
        clone.git("remote", "set-url", "origin", f"{server.url.removesuffix('/v1')}/team/x.git")

        def complaint() -> str:
            with Repository.open(clone.root) as repository, pytest.raises(OriginUnreachable) as told:
                repository.origin.refs()
            return str(told.value)

        assert "certificate" in complaint()
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        assert "certificate" not in complaint()
        (tmp_path / "other.pem").write_text("")
        clone.git("config", "http.sslCAInfo", f"{tmp_path}/other.pem")
        assert "certificate" in complaint()


class Ready:
    """A model that says so."""

    def answer(self, _body: object) -> str:
        return "ready"


@pytest.mark.slow
def test_models_are_asked_through_a_companys_authority(modelling: "Modelling", tmp_path: Path) -> None:
    modelled, bundle = modelling(pair=Ready(), tls=True), tmp_path / "company.pem"
    bundle.write_text(modelled.server.certificate)
    told = {"OPENAI_API_KEY": KEY, "REQUESTS_CA_BUNDLE": str(bundle)}
    ran = modelled.clone.run("runbookopt", "doctor", environ=told)
    assert ran.returncode == 0, ran.stdout
    assert modelled.heard("agent")
