"""Chooses when a source may be named, from calibration captions alone, and writes zoo/models/calibration.json.

`python -m zoo.calibrate`. A source is named where its distance is at most `max_distance` and its lead at least
`min_margin`; of all such pairs the one that names most, with nine in ten of the named right and at most one avatar in
twenty (drawn by no source) named.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zoo.captions import Split
from zoo.paths import MODELS, WORK
from zoo.trial import DISTANCE, IDS, Bench, Outcome, avatars, save

CALIBRATION = MODELS / "calibration.json"
EACH_SOURCE = 32
EACH_STYLE = 10
PRECISION = 0.90
FALSE_NAMES = 0.05
SEED = 11
COUNTS = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class Choice:
    """A threshold pair with what it does on the data it was chosen on."""

    max_distance: float
    min_margin: float
    coverage: float
    precision: float
    false_names: float


def choose(own: Sequence[Outcome], foreign: Sequence[Outcome], candidates: int) -> Choice:
    """The pair with the best coverage within both bounds; naming nothing at all is always within them."""
    own_distance, own_margin, right = _table(own, candidates)
    far_distance, far_margin, _ = _table(foreign, candidates)
    best = Choice(0.0, 2.0, 0.0, 1.0, 0.0)
    for limit in np.quantile(own_distance, np.linspace(0.02, 1, 60)):
        for lead in np.quantile(own_margin, np.linspace(0, 0.98, 60)):
            named = (own_distance <= limit) & (own_margin >= lead)
            wrong = ((far_distance <= limit) & (far_margin >= lead)).mean()
            if not named.any() or right[named].mean() < PRECISION or wrong > FALSE_NAMES:
                continue
            choice = Choice(float(limit), float(lead), float(named.mean()), float(right[named].mean()), float(wrong))
            best = max(best, choice, key=lambda option: (option.coverage, option.precision))
    return best


def _table(outcomes: Sequence[Outcome], candidates: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best distance, margin, and whether the nearest source is the right one, per outcome."""
    rankings = [outcome.ranking(candidates) for outcome in outcomes]
    distance = np.array([ranking[0][0] for ranking in rankings])
    margin = np.array([ranking[1][0] - ranking[0][0] for ranking in rankings])
    right = np.array([ranking[0][1] == outcome.truth for ranking, outcome in zip(rankings, outcomes, strict=True)])
    return distance, margin, right


def main() -> None:
    """Measures, chooses, writes."""
    bench = Bench()
    own = bench.outcomes(bench.drawn(Split.CALIBRATION, EACH_SOURCE, SEED))
    foreign = bench.outcomes(avatars(Split.CALIBRATION, EACH_STYLE, SEED))
    save(WORK / "calibration.outcomes.json", [*own, *foreign])
    revisions = {name: bench.catalogue.get(name).revision for name in IDS}
    entries = []
    for candidates in COUNTS:
        choice = choose(own, foreign, candidates)
        accuracy = float(_table(own, candidates)[2].mean())
        measured = {
            "drawings": len(own),
            "foreign_avatars": len(foreign),
            "accuracy_if_always_named": round(accuracy, 4),
            "coverage": round(choice.coverage, 4),
            "precision_among_attributed": round(choice.precision, 4),
            "foreign_avatars_attributed": round(choice.false_names, 4),
        }
        print(f"γ = {candidates}: distance ≤ {choice.max_distance:.4f}, margin ≥ {choice.min_margin:.4f}: {measured}")
        entries.append(
            {
                "embedder": str(bench.embedder.ref),
                "distance": DISTANCE,
                "candidates": candidates,
                "sources": revisions,
                "max_distance": round(choice.max_distance, 6),
                "min_margin": round(choice.min_margin, 6),
                "measured": measured,
            }
        )
    CALIBRATION.write_text(json.dumps({"schema": 1, "entries": entries}, indent=2) + "\n")


if __name__ == "__main__":
    main()
