from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def oracles() -> ModuleType:
    """Give tests/calibration/oracles.py: what libraries say of tables; they are in the extra `oracles`."""
    pytest.importorskip("sklearn")
    pytest.importorskip("statsmodels")
    found = spec_from_file_location("oracles", Path(__file__).with_name("oracles.py"))
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module
