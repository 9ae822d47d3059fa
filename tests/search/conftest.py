"""Gives the tests of the search their scripted world."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def lessons() -> ModuleType:
    """Give tests/search/lessons.py: a search whose every task is solved by the lesson of its number."""
    found = spec_from_file_location("lessons", Path(__file__).with_name("lessons.py"))
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module
