"""Groups of short texts by their words: the only file that knows scikit-learn, an optional library."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from runbookopt.errors import RunbookoptError

MOST_TEXTS = 1_500  # all distances between them are held at once
_MOST_GROUPS = 15
_TERMS = 3
_FEWEST = 4


class NoLibrary(RunbookoptError):
    """Scikit-learn is not installed."""


class TextGroup(Struct, frozen=True):
    """Texts that are alike, by their places from 0, the most typical first, and the words that tell them."""

    places: tuple[int, ...]
    terms: tuple[str, ...]


def grouped(texts: Sequence[str]) -> tuple[TextGroup, ...]:
    """Groups of texts, the largest first; texts that are like no other are in none.

    Words and pairs of words are weighted by rareness (TF-IDF), and groups joined where that adds least to the
    variance within them (Ward 1963). As many groups are made as stand apart best, by the mean silhouette
    (Rousseeuw 1987). The same texts give the same groups. Raises NoLibrary without scikit-learn.
    """
    if len(texts) < _FEWEST:
        return ()
    if len(texts) > MOST_TEXTS:
        raise RunbookoptError(f"{len(texts)} texts are too many to group: label some, or group {MOST_TEXTS}")
    vectorizer, cluster, silhouette = _library()
    weights = vectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=1)
    try:
        matrix = weights.fit_transform(texts)
    except ValueError:  # no text holds a word
        return ()
    rows, terms = matrix.toarray(), weights.get_feature_names_out()
    different = len({row.tobytes() for row in rows})
    best: tuple[float, list[int]] = (-1.0, [0] * len(texts))
    for count in range(2, min(_MOST_GROUPS, different - 1, len(texts) - 1) + 1):
        labels = [int(each) for each in cluster(n_clusters=count, linkage="ward").fit_predict(rows)]
        score = float(silhouette(rows, labels))
        if score > best[0] + 1e-9:  # more than rounding may make of the same
            best = (score, labels)
    groups = (
        _group(rows, terms, [place for place, label in enumerate(best[1]) if label == number])
        for number in sorted(set(best[1]))
    )
    kept = (group for group in groups if len(group.places) > 1)
    return tuple(sorted(kept, key=lambda group: (-len(group.places), min(group.places))))


def _group(rows: Any, terms: Any, places: list[int]) -> TextGroup:  # noqa: ANN401 - arrays of numpy
    middle = rows[places].mean(axis=0)
    nearness = {place: float(rows[place] @ middle) for place in places}
    heaviest = sorted(range(len(terms)), key=lambda at: (-float(middle[at]), str(terms[at])))
    chosen: list[str] = []
    for at in heaviest:
        if len(chosen) == _TERMS or not middle[at] > 0:
            break
        if not any(str(terms[at]) in each or each in str(terms[at]) for each in chosen):
            chosen.append(str(terms[at]))
    ordered = sorted(places, key=lambda place: (-round(nearness[place], 9), place))
    return TextGroup(tuple(ordered), tuple(chosen))


def _library() -> tuple[Any, Any, Any]:
    """What of scikit-learn is used; it takes seconds to import."""
    try:
        from sklearn.cluster import AgglomerativeClustering  # noqa: PLC0415 - slow, and not always there
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415
        from sklearn.metrics import silhouette_score  # noqa: PLC0415
    except ImportError as error:
        raise NoLibrary(
            "grouping by text takes scikit-learn: pip install 'runbookopt[modes]', or group with a model:"
            " --by model"
        ) from error
    return TfidfVectorizer, AgglomerativeClustering, silhouette_score
