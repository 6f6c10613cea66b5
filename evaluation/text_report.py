"""Reports as text for people; the same figures go out as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any


def evaluation(report: Mapping[str, Any]) -> str:
    """One setting's figures and its confusion matrix."""
    low, high = report["accuracy_interval_95"]
    splits = report["accuracy_over_splits"]
    lines = [
        f"{report['distance']}, γ = {report['images_per_source']}: {report['queries']} queries,"
        f" {report['characters']} characters",
        f"  accuracy  {_percent(report['accuracy'])}, 95 % interval over characters {_percent(low)} to"
        f" {_percent(high)}; chance {_percent(report['chance'])}, p = {report['p_value']:.4f}",
    ]
    if splits:
        lines.append(
            f"            test sides of {splits['splits']} splits: mean {_percent(splits['mean'])},"
            f" sd {_percent(splits['sd'])}, {_percent(splits['min'])} to {_percent(splits['max'])}"
        )
    lines.append(f"  top-3     {_percent(report['top3'])}   macro ROC-AUC {report['roc_auc']:.4f}")
    confused = ", ".join(f"{a}/{b} {pair['times']}" for pair in report["most_confused"] for a, b in [pair["pair"]])
    lines += [f"  confused  {confused}", "", *matrix(report["sources"], report["confusion"])]
    return "\n".join(lines)


def matrix(names: Sequence[str], table: Sequence[Sequence[int]]) -> list[str]:
    """Rows: who generated it; columns, by number: who was nearest."""
    wide = max(len(name) for name in names)
    head = " " * (wide + 9) + "".join(f"{k:>5}" for k in range(1, len(names) + 1))
    rows = [
        f"  {k:>3}  {name:<{wide}}  " + "".join(f"{n:>5}" for n in row) for k, (name, row) in _counted(names, table)
    ]
    return [head, *rows]


def leave_one_out(report: Mapping[str, Any]) -> str:
    """How well strangers are told from sources that were asked."""
    wide = max(len(name) for name in (*report["sources"], "left out"))
    lines = [f"  {'left out':<{wide}}  AUROC by distance   by margin   named wrongly when 90 % of the right are kept"]
    for name, row in (*report["sources"].items(), ("all", report["all"])):
        lines.append(
            f"  {name:<{wide}}  {row['auroc_distance']:>17.3f}   {row['auroc_margin']:>9.3f}   "
            f"{_percent(row['wrong_at_90'])}"
        )
    return "\n".join(lines)


def threshold(entry: Mapping[str, Any]) -> str:
    """One entry of a calibration."""
    measured = entry["measured"]
    return (
        f"{entry['distance']}, γ = {entry['images_per_source']}: distance ≤ {entry['max_distance']:.6f},"
        f" margin ≥ {entry['min_margin']:.6f}: names {_percent(measured['coverage'])}, of these"
        f" {_percent(measured['precision_among_attributed'])} rightly; of queries whose source is left out"
        f" {_percent(measured['left_out_attributed'])}"
    )


def published(report: Mapping[str, Any]) -> str:
    """One line of what the published scripts would print."""
    return (
        f"{report['transform']:<12} {report['distance']:<12} accuracy {report['accuracy']:.4f}"
        f"  top-3 {report['top3']:.4f}  ROC-AUC {report['roc_auc']:.4f}"
        f"  ({report['queries']} queries, {report['subset']})"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _counted(names: Sequence[str], table: Sequence[Sequence[int]]) -> list[tuple[int, tuple[str, Sequence[int]]]]:
    return list(enumerate(zip(names, table, strict=True), 1))
