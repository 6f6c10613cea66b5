"""`make zoo-eval`: the accuracy of attribution among the demo models, on captions that no model has seen.

Fails unless accuracy is above chance (p < 0.001) and below 95 %: with sources that are always separated, nothing could
be measured.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from scipy.stats import binomtest

from attribution.verdict import Calibration
from zoo import freeze
from zoo.captions import Split, parse
from zoo.paths import CALIBRATION, MODELS, WORK
from zoo.render import STRANGERS, STYLES
from zoo.trial import DISTANCE, IDS, IMAGES_PER_SOURCE, Bench, TrialOutcome, avatars, save

REPORT = MODELS / "evaluation.json"
EACH_SOURCE = 25
EACH_STYLE = 8
SEED = 23
CEILING = 0.95


def captions_right(outcomes: Sequence[TrialOutcome]) -> dict[str, float]:
    """Shares of captions that are right: whole, and field by field."""
    fields: Counter[str] = Counter()
    for outcome in outcomes:
        found, true = parse(outcome.caption), parse(outcome.true_caption)
        fields["whole"] += found == true
        if found is not None and true is not None:
            read, meant = asdict(found), asdict(true)
            fields.update(key for key in read if read[key] == meant[key])
    keys = ("whole", "skin", "length", "hair", "beard", "glasses", "shirt", "background")
    return {key: round(fields[key] / len(outcomes), 4) for key in keys}


def confusion(outcomes: Sequence[TrialOutcome]) -> dict[str, dict[str, int]]:
    """Rows: the true source; columns: the nearest source."""
    table = {row: dict.fromkeys(IDS, 0) for row in IDS}
    for outcome in outcomes:
        if outcome.truth is not None:
            table[outcome.truth][outcome.ranking()[0][1]] += 1
    return table


def named(outcomes: Sequence[TrialOutcome], max_distance: float, min_margin: float) -> list[TrialOutcome]:
    """Those that the calibrated verdict attributes to a source."""
    result = []
    for outcome in outcomes:
        (best, _), (second, _) = outcome.ranking()[:2]
        if best <= max_distance and second - best >= min_margin:
            result.append(outcome)
    return result


def main() -> int:
    """Measures, reports; 0 if the sources are neither trivial nor chance."""
    if freeze.sums() != freeze.SUMS.read_text():
        print("the weights are not the frozen ones")
        return 1
    bench = Bench()
    own = bench.outcomes(bench.generated(Split.TEST, EACH_SOURCE, SEED))
    foreign = bench.outcomes(avatars(Split.TEST, EACH_STYLE, SEED))
    save(WORK / "evaluation.outcomes.json", [*own, *foreign])
    right = sum(outcome.ranking()[0][1] == outcome.truth for outcome in own)
    test = binomtest(right, len(own), 1 / len(IDS), alternative="greater")
    interval = binomtest(right, len(own)).proportion_ci(0.95, method="wilson")
    table = confusion(own)
    revisions = {name: bench.catalog.get(name).revision for name in IDS}
    threshold = Calibration.load([CALIBRATION]).find(bench.embedder.ref, DISTANCE, IMAGES_PER_SOURCE, revisions)
    if threshold is None:
        print("there is no calibration for these models: run make evaluate-calibrate")
        return 1
    given = named(own, threshold.max_distance, threshold.min_margin)
    wrongly = named(foreign, threshold.max_distance, threshold.min_margin)
    accuracy = right / len(own)
    passed = bool(test.pvalue < 0.001 and accuracy < CEILING)
    report = {
        "schema": 1,
        "passed": passed,
        "images": len(own),
        "images_per_source": IMAGES_PER_SOURCE,
        "distance": DISTANCE,
        "embedder": str(bench.embedder.ref),
        "captioner": str(bench.captioner.ref),
        "sources": revisions,
        "accuracy": round(accuracy, 4),
        "wilson_95": [round(float(interval.low), 4), round(float(interval.high), 4)],
        "chance": 1 / len(IDS),
        "p_value": float(test.pvalue),
        "confusion": table,
        "captions_right": captions_right(own),
        "attributed": len(given),
        "attributed_rightly": sum(outcome.ranking()[0][1] == outcome.truth for outcome in given),
        "foreign_avatars": len(foreign),
        "foreign_avatars_attributed": len(wrongly),
        "foreign_avatars_attributed_by_style": dict(Counter(str(outcome.style) for outcome in wrongly)),
        "captions_right_on_avatars": captions_right([outcome for outcome in foreign if outcome.style in STYLES]),
        "captions_right_on_strangers": captions_right([outcome for outcome in foreign if outcome.style in STRANGERS]),
    }
    _print(report, table)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report))
    return 0 if passed else 1


def _print(report: dict[str, object], table: dict[str, dict[str, int]]) -> None:
    print(f"\naccuracy {report['accuracy']} of {report['images']} images, 95 % interval {report['wilson_95']}")
    print(f"chance {report['chance']}, p = {report['p_value']:.1e}\n")
    print("generated by \\ nearest".ljust(20) + "".join(name.rjust(11) for name in IDS))
    for row, counts in table.items():
        print(row.ljust(20) + "".join(str(counts[name]).rjust(11) for name in IDS))
    print(f"\ncaptions right, generated images by sources: {report['captions_right']}")
    print(f"captions right, avatars: {report['captions_right_on_avatars']}")
    print(f"\nverdict `attributed`: {report['attributed']} images, {report['attributed_rightly']} of them rightly;")
    print(f"{report['foreign_avatars_attributed']} of {report['foreign_avatars']} avatars that no source generated:")
    print(report["foreign_avatars_attributed_by_style"])


if __name__ == "__main__":
    sys.exit(main())
