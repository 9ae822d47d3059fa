import subprocess
import sys
from pathlib import Path

import pytest

MAKE = Path(__file__).parents[1] / "docs/pictures/make.py"


@pytest.mark.slow
def test_the_pictures_of_the_readme_are_those_of_today() -> None:
    ran = subprocess.run([sys.executable, MAKE, "--check"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
