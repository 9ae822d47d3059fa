from tests.measure import PACKAGE, measure


def test_the_package_is_no_larger_and_no_more_divided_than_it_has_to_be() -> None:
    measured = measure(PACKAGE)
    assert measured.lines <= 21_500
    assert measured.p95 <= 25
    assert len(measured.needless) < 20, measured.needless
