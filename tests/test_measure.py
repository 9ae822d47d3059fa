from tests.measure import PACKAGE, measure


def test_functions_are_short_and_few_private_ones_are_needless() -> None:
    """How many lines there are in all is printed by the script, and is no rule: features need some."""
    measured = measure(PACKAGE)
    assert measured.lines > 10_000, "the package was not found"
    assert measured.p95 <= 25
    assert len(measured.needless) < 20, measured.needless
