"""Evaluation: it ranks as the service ranks, and its intervals and p-values mean what they say."""

import numpy as np
import pytest
import sklearn.metrics

from attribution.distance import distance_named
from attribution.errors import ConfigurationError
from attribution.ports import Embedded, ModelRef
from attribution.rank import rank
from evaluation.characters import Side, sides
from evaluation.evaluate import Rankings, evaluate, p_value, rankings
from evaluation.features import Features
from evaluation.metrics import interval, macro_auroc, nearest, softmax

NAMES = ("a", "b", "c", "d")


def features(signal: float = 0.6, people: int = 30) -> Features:
    """Four sources with a style each, γ = 3."""
    random = np.random.default_rng(5)
    style, person = signal * random.normal(size=(4, 16)), random.normal(size=(people, 16))
    originals = style[:, None] + person + random.normal(size=(4, people, 16))
    generated = style[:, None] + person[:, None, None] + random.normal(size=(4, people, 4, 3, 16))
    numbers = tuple(range(1, people + 1))
    side = {at + 1: which for which, places in sides(people).items() for at in places}
    unit = [rows / np.linalg.norm(rows, axis=-1, keepdims=True) for rows in (originals, generated)]
    single = [rows.astype(np.float32) for rows in unit]
    return Features("e@1", dict.fromkeys(NAMES, "1"), numbers, side, single[0], single[1])


@pytest.mark.parametrize("images_per_source", [1, 3])
@pytest.mark.parametrize("distance", ["cosine", "manhattan"])
def test_it_ranks_as_the_service_does(distance: str, images_per_source: int) -> None:
    """For every query the same order, distances, margin and scores as attribution.rank."""
    found = features(people=6)
    ranked = rankings(found, distance, images_per_source)
    scores = softmax(ranked.flat).reshape(ranked.distances.shape)
    for i, p in np.ndindex(4, 6):
        generated = {name: found.resyntheses[i, p, j, :images_per_source] for j, name in enumerate(NAMES)}
        one = rank(Embedded(ModelRef("e", "1"), found.originals[i, p], generated), distance_named(distance), NAMES)
        order = nearest(ranked.distances[i])[p]
        assert [entry.source for entry in one.entries] == [NAMES[j] for j in order]
        assert [entry.distance for entry in one.entries] == pytest.approx(
            ranked.distances[i, p, order].tolist(), abs=1e-12
        )
        assert [entry.score for entry in one.entries] == pytest.approx(scores[i, p, order].tolist(), abs=1e-12)


def test_the_report_adds_up() -> None:
    """Accuracy, confusion matrix, recall and ROC-AUC are of one ranking, and the interval holds the accuracy."""
    ranked = rankings(features(), "cosine", 3)
    report = evaluate(ranked)
    table = np.array(report["confusion"])
    assert table.sum(axis=1).tolist() == [30] * 4
    assert report["accuracy"] == pytest.approx(np.trace(table) / 120)
    assert list(report["recall"].values()) == pytest.approx((table.diagonal() / 30).tolist())
    for name, (low, high) in report["recall_interval_95"].items():
        assert low < report["recall"][name] < high
    low, high = report["accuracy_interval_95"]
    assert 0.25 < low < report["accuracy"] < high < 1
    assert report["p_value"] == 1e-4
    assert report["accuracy_over_splits"]["splits"] == 20
    expected = sklearn.metrics.roc_auc_score(ranked.truth, softmax(ranked.flat), multi_class="ovr")
    assert macro_auroc(softmax(ranked.flat), ranked.truth) == pytest.approx(expected, abs=1e-12)
    worst = report["most_confused"][0]
    i, j = (NAMES.index(name) for name in worst["pair"])
    assert worst["times"] == table[i, j] + table[j, i] == max((table + table.T)[~np.eye(4, dtype=bool)])


def test_the_interval_is_over_characters() -> None:
    """Characters that are wholly easy or wholly hard make it wider than as many independent queries would."""
    clustered = np.repeat([[True, False]], 10, axis=0)[:, np.arange(40) % 2]
    mixed = (np.arange(10)[:, None] + np.arange(40)) % 2 == 0
    wide, narrow = (high - low for low, high in (interval(clustered), interval(mixed)))
    assert wide > 0.25
    assert narrow < 0.01
    pairs = np.arange(40) // 2 % 2 + 2 * (np.arange(40) // 4)  # two columns each, of one kind
    low, high = interval(clustered, groups=np.arange(40) % 2 + 2 * (np.arange(40) // 4))
    assert high - low > 1.3 * wide  # half as many
    assert interval(clustered, groups=pairs)[1] - interval(clustered, groups=pairs)[0] < 0.01  # one of each kind


def test_chance_is_not_significant() -> None:
    """Shuffled truths seldom get a small p-value, and a source that is always named gets none."""
    random = np.random.default_rng(1)
    values = [p_value(random.integers(0, 5, (5, 12)), seed=k) for k in range(40)]
    assert sum(value < 0.05 for value in values) <= 6
    assert p_value(np.zeros((5, 12), np.intp)) == 1.0


def test_ties_go_to_the_first_source() -> None:
    """Equal distances everywhere: the first of the catalog, for every query."""
    report = evaluate(Rankings(NAMES, np.ones((4, 10, 4))))
    assert np.array(report["confusion"])[:, 0].tolist() == [10] * 4
    assert report["roc_auc"] == 0.5


def test_parts_of_the_features() -> None:
    """Sources by name, characters by side and only where they are complete; anything else is an error."""
    found = features()
    found.resyntheses[0, 3, 2] = np.nan
    assert found.of().characters == tuple(number for number in range(1, 31) if number != 4)
    assert len(found.of(["a", "b"]).characters) == 30
    assert len(found.of(["b", "a"], [Side.TEST]).characters) == 3
    assert found.of(["b", "a"]).sources == ("a", "b")
    with pytest.raises(ConfigurationError, match="no source x"):
        found.of(["x"])
    found.resyntheses[:] = np.nan
    with pytest.raises(ConfigurationError, match="No character"):
        found.of()
