"""What scikit-learn, statsmodels and scipy say of tables; run as a program, it writes that down.

They take seconds to import and a minute to install, so that daily tests compare with what is written.
"""

import json
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn import metrics
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.proportion import proportion_confint

WRITTEN = Path(__file__).with_name("oracle_values.json")
EDGES = [
    (20, 0, 0, 20),  # perfect
    (0, 20, 20, 0),  # inverted
    (30, 20, 0, 0),  # always passes
    (0, 0, 20, 30),  # always fails
    (118, 5, 2, 0),  # one rare class
    (1, 0, 0, 1),
    (1, 1, 1, 1),
]
BOOTSTRAPPED = [(27, 2, 3, 28), (13, 3, 3, 13), (41, 7, 9, 28), (176, 21, 37, 185), (90, 6, 10, 14)]


def tables(count: int = 60, seed: int = 18) -> list[tuple[int, int, int, int]]:
    """Give the edges, and random tables of up to 400 items."""
    rng = random.Random(seed)
    drawn = []
    for _ in range(count):
        most = rng.choice([5, 20, 100])
        tp, fn, fp, tn = (rng.randint(0, most) for _ in range(4))
        drawn.append((tp + 1, fp + 1, fn, tn))  # some of either class
    return EDGES + drawn


def shares(table: tuple[int, int, int, int]) -> dict[str, float]:
    """Give what scikit-learn and statsmodels say of a table with items of both classes."""
    tp, fp, fn, tn = table
    people = [1] * (tp + fn) + [0] * (fp + tn)
    says = [1] * tp + [0] * fn + [1] * fp + [0] * tn
    low, high = proportion_confint(tp, tp + fn, alpha=0.05, method="beta")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kappa = float(cohens_kappa([[tp, fn], [fp, tn]]).kappa)
        assert abs(kappa - metrics.cohen_kappa_score(people, says)) < 1e-9
        return {
            "tpr": float(metrics.recall_score(people, says, pos_label=1)),
            "tnr": float(metrics.recall_score(people, says, pos_label=0)),
            "j": float(metrics.balanced_accuracy_score(people, says, adjusted=True)),
            "mcc": float(metrics.matthews_corrcoef(people, says)),
            "kappa": kappa,
            "tpr_low": float(low),
            "tpr_high": float(high),
        }


def bootstrapped(table: tuple[int, int, int, int], draws: int = 20_000) -> dict[str, float]:
    """Give scipy's percentile interval of MCC, each class drawn by itself, and the one-sided 99 % bound."""
    tp, fp, fn, tn = table
    passes, fails = np.repeat([1, 0], [tp, fn]), np.repeat([1, 0], [fp, tn])

    def mcc(one: Any, other: Any, axis: int = -1) -> Any:  # noqa: ANN401
        hits, false = one.sum(axis=axis), other.sum(axis=axis)
        passed, failed = hits + false, (tp + fn - hits) + (fp + tn - false)
        scale = np.sqrt(passed * failed * float((tp + fn) * (fp + tn)))
        return (hits * (fp + tn - false) - false * (tp + fn - hits)) / np.maximum(scale, 1e-9)

    def interval(level: float) -> Any:  # noqa: ANN401
        return stats.bootstrap(
            (passes, fails),
            mcc,
            n_resamples=draws,
            method="percentile",
            confidence_level=level,
            rng=np.random.default_rng(18),
        ).confidence_interval

    wide, narrow = interval(0.98), interval(0.95)
    return {"bound": float(wide.low), "low": float(narrow.low), "high": float(narrow.high)}


def main() -> None:
    """Write all of it down."""
    said = {
        "shares": [[table, shares(table)] for table in tables()],
        "bootstrapped": [[table, bootstrapped(table)] for table in BOOTSTRAPPED],
    }
    parts = []
    for key, rows in said.items():
        lines = ",\n".join(json.dumps(row) for row in rows)
        parts.append(f'"{key}": [\n{lines}\n]')
    WRITTEN.write_text("{" + ",\n".join(parts) + "}\n")


if __name__ == "__main__":
    main()
