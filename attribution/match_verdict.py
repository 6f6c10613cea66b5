"""From a ranking by residuals to a verdict; each kind carries what it was worth in simulated queries.

    attributed          one source: the naming rule (or, for the policy `closed`, its probability) says so
    attributed_family   relatives that cannot be distinguished, named together
    narrowed            the prediction set is smaller than the list of tested sources
    inconclusive        with the reason

A source that is not among those tested and derives from one of them is taken for that one (docs/method.md).
"""

from collections.abc import Sequence

import numpy as np

from attribution.bank import Experience
from attribution.bank.calibration import SelfCalibration, margin_and_fit
from attribution.bank.stack import Floats
from attribution.estimate import Measured
from attribution.ports import Policy, Ranking, Reason, Verdict, VerdictKind


def judge_match(
    ranking: Ranking, known: Experience | None, order: Sequence[str], *, quorum: int, policy: Policy
) -> Verdict:
    """The verdict about a ranking by residuals.

    Args:
        ranking: With the method `RESIDUAL`.
        known: What the bank knows about the tested sources.
        order: Catalog order; it may contain sources that were not tested.
        quorum: How many sources must be tested.
        policy: Whether the image may be by another source.
    """
    if len(ranking.entries) < max(2, quorum):
        return Verdict(VerdictKind.INCONCLUSIVE, reason=Reason.NO_QUORUM, policy=policy)
    first, second = ranking.entries[:2]
    if first.match == second.match:
        return Verdict(VerdictKind.INCONCLUSIVE, reason=Reason.TIE, policy=policy)
    calibration = None if known is None else known.calibration
    if ranking.fusion is not None or ranking.estimate is None or calibration is None:
        return Verdict(VerdictKind.INCONCLUSIVE, reason=Reason.UNCALIBRATED, policy=policy)
    by_source = {entry.source: entry for entry in ranking.entries}
    tested = [source for source in order if source in by_source]  # as the calibration counts them
    scores = np.array([[by_source[source].match for source in tested]], float)
    groups = dict(zip(tested, calibration.groups, strict=True))
    group = groups[first.source]
    relatives = tuple(entry.source for entry in ranking.entries if groups[entry.source] == group)
    named = _open(calibration, scores) if policy is Policy.OPEN else _closed(calibration, scores, group)
    if named is not None:
        kind, measured = named
        if kind is VerdictKind.ATTRIBUTED:
            return Verdict(kind, first.source, measured=measured, policy=policy)
        return Verdict(kind, sources=relatives, measured=measured, policy=policy)
    if policy is Policy.OPEN and scores.max() < calibration.fit_limit:
        return Verdict(VerdictKind.INCONCLUSIVE, reason=Reason.NONE_OF_THESE_LIKELY, policy=policy)
    inside = ranking.estimate.prediction_set
    if len(inside) < len(ranking.entries):
        measured = calibration.narrowed if policy is Policy.OPEN else calibration.closed_narrowed
        return Verdict(VerdictKind.NARROWED, sources=inside, measured=measured, policy=policy)
    return Verdict(VerdictKind.INCONCLUSIVE, reason=Reason.BELOW_THRESHOLD, policy=policy)


def _open(calibration: SelfCalibration, scores: Floats) -> tuple[VerdictKind, Measured] | None:
    alone = np.arange(scores.shape[1])
    if calibration.source_rule.names(*margin_and_fit(scores, alone))[0]:
        return VerdictKind.ATTRIBUTED, calibration.source_rule.measured
    groups = np.array(calibration.groups)
    if calibration.group_rule is not None and len(set(calibration.groups)) > 1:
        rule = calibration.group_rule
        if (groups == groups[scores.argmax()]).sum() > 1 and rule.names(*margin_and_fit(scores, groups))[0]:
            return VerdictKind.ATTRIBUTED_FAMILY, rule.measured
    return None


def _closed(calibration: SelfCalibration, scores: Floats, group: int) -> tuple[VerdictKind, Measured] | None:
    probabilities = calibration.probabilities(scores)[0]
    if probabilities.max() >= calibration.closed_level:
        return VerdictKind.ATTRIBUTED, calibration.closed
    together = probabilities[np.array(calibration.groups) == group]
    if calibration.closed_group is not None and len(together) > 1 and together.sum() >= calibration.closed_level:
        return VerdictKind.ATTRIBUTED_FAMILY, calibration.closed_group
    return None
