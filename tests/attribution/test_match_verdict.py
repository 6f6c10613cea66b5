"""Verdicts about rankings by residuals: each kind where its rule says so, and with what it was worth."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.bank import Experience
from attribution.bank.calibration import NamingRule, SelfCalibration
from attribution.bank.model import BankModel
from attribution.estimate import Estimate, Measured
from attribution.match_verdict import judge_match
from attribution.ports import (
    Fusion,
    Method,
    Policy,
    Ranked,
    Ranking,
    Reason,
    Verdict,
    VerdictKind,
)

ORDER = ("a", "untested", "b", "c", "d")
TESTED = ("a", "b", "c", "d")
OF_SOURCE, OF_GROUP, CLOSED, CLOSED_GROUP, NARROWED, CLOSED_NARROWED = (
    Measured(100 + n, 0.5, 0.97, 40, 0.01) for n in range(6)
)


def rule(margin: float, measured: Measured) -> NamingRule:
    """Names where the margin is at least so great."""
    return NamingRule((0.0, 0.0), (1.0, 1.0), (0.0, 1.0, 0.0), margin, measured)


def knowledge(groups: tuple[int, ...] = (0, 1, 1, 3), group_margin: float = 2.0) -> Experience:
    """A source is named from a margin of 5, a group from 2, with probabilities from 0.9; fits below −10 are poor."""
    calibration = SelfCalibration(
        temperature=1.0,
        set_level=0.95,
        fit_limit=-10.0,
        fit_center=0.0,
        fit_spread=1.0,
        groups=groups,
        source_rule=rule(5.0, OF_SOURCE),
        group_rule=rule(group_margin, OF_GROUP) if 1 < len(set(groups)) < 4 else None,
        closed_level=0.9,
        closed=CLOSED,
        closed_group=CLOSED_GROUP if 1 < len(set(groups)) < 4 else None,
        narrowed=NARROWED,
        closed_narrowed=CLOSED_NARROWED,
    )
    model = BankModel(TESTED, np.zeros((4, 1)), np.eye(1), np.eye(1), 4, 9, 1)
    return Experience(model, np.eye(1), calibration)


def ranking(scores: Mapping[str, float], known: Experience | None = None, **more: object) -> Ranking:
    """Sources with these matches, with the estimate that the calibration gives."""
    order = sorted(scores, key=lambda source: -scores[source])
    entries = tuple(Ranked(source, 0.5, 0.25, (0.5,), match=scores[source]) for source in order)
    estimate = None
    if known is not None and known.calibration is not None:
        probabilities = known.calibration.probabilities(np.array([scores[source] for source in order]))
        inside = known.calibration.in_set(probabilities)
        members = tuple(source for source, there in zip(order, inside, strict=True) if there)
        estimate = Estimate("sha256:0", dict.fromkeys(TESTED, 9), members, 0.93, 0.0)
    return Ranking("cosine", entries, 0.1, method=Method.RESIDUAL, estimate=estimate, **more)  # type: ignore[arg-type]


def verdict(
    scores: Mapping[str, float], known: Experience | None = None, policy: Policy = Policy.OPEN, quorum: int = 2
) -> Verdict:
    """The verdict about them."""
    return judge_match(ranking(scores, known), known, ORDER, quorum=quorum, policy=policy)


def test_a_source_that_leads_is_named() -> None:
    """With what its rule was worth."""
    found = verdict({"a": 0, "b": -6, "c": -7, "d": -8}, knowledge())
    assert found == Verdict(VerdictKind.ATTRIBUTED, "a", measured=OF_SOURCE)


def test_relatives_that_lead_together_are_named_together() -> None:
    """The lead counts over the best of another group; they are listed likeliest first."""
    found = verdict({"c": 0, "b": -1, "a": -3, "d": -8}, knowledge())
    assert found == Verdict(VerdictKind.ATTRIBUTED_FAMILY, sources=("c", "b"), measured=OF_GROUP)


def test_a_source_without_relatives_is_no_family() -> None:
    """Though its lead were enough for a group: then the set narrows."""
    found = verdict({"a": 0, "b": -3, "c": -4, "d": -8}, knowledge())
    assert found.kind is VerdictKind.NARROWED
    assert found.sources == ("a",)


def test_all_sources_as_one_group_are_not_named() -> None:
    """That it is one of all that were tested says nothing."""
    for policy in Policy:
        found = verdict({"a": 0, "b": -1, "c": -2, "d": -2.5}, knowledge((0, 0, 0, 0), 0.0), policy)
        assert found.kind is not VerdictKind.ATTRIBUTED_FAMILY


def test_a_smaller_set_narrows() -> None:
    """With the prediction set, and how often such sets were right."""
    found = verdict({"a": 0, "b": -0.5, "c": -1, "d": -8}, knowledge((0, 1, 2, 3)))
    assert found == Verdict(VerdictKind.NARROWED, sources=("a", "b", "c"), measured=NARROWED)


def test_a_poor_fit_is_probably_none_of_these() -> None:
    """Below the limit; callers who exclude that get the set."""
    scores = {"a": -11, "b": -11.5, "c": -12, "d": -19}
    known = knowledge((0, 1, 2, 3))
    assert verdict(scores, known) == Verdict(VerdictKind.INCONCLUSIVE, reason=Reason.NONE_OF_THESE_LIKELY)
    closed = verdict(scores, known, Policy.CLOSED)
    assert (closed.kind, closed.sources) == (VerdictKind.NARROWED, ("a", "b", "c"))


def test_a_set_of_all_is_inconclusive() -> None:
    """No source stands out."""
    found = verdict({"a": 0, "b": -0.1, "c": -0.2, "d": -0.3}, knowledge((0, 1, 2, 3)))
    assert found == Verdict(VerdictKind.INCONCLUSIVE, reason=Reason.BELOW_THRESHOLD)


def test_closed_names_by_probability() -> None:
    """A margin of 4 is a probability above 0.9: enough for a caller who excludes other sources."""
    found = verdict({"a": 0, "b": -4, "c": -4, "d": -4}, knowledge(), Policy.CLOSED)
    assert found == Verdict(VerdictKind.ATTRIBUTED, "a", measured=CLOSED, policy=Policy.CLOSED)
    together = verdict({"b": 0, "c": -0.5, "a": -4, "d": -4}, knowledge(), Policy.CLOSED)
    assert together == Verdict(
        VerdictKind.ATTRIBUTED_FAMILY, sources=("b", "c"), measured=CLOSED_GROUP, policy=Policy.CLOSED
    )


def test_the_quorum_counts_tested_sources() -> None:
    """At least two, whatever the installation says."""
    known = knowledge()
    scores = {"a": 0.0, "b": -6.0, "c": -7.0, "d": -8.0}
    assert verdict(scores, known, quorum=5).reason is Reason.NO_QUORUM
    assert verdict(scores, known, quorum=4).kind is VerdictKind.ATTRIBUTED
    assert verdict({"a": 0.0}, None, quorum=1).reason is Reason.NO_QUORUM
    assert verdict({}, None, quorum=0).reason is Reason.NO_QUORUM


def test_a_tie_names_none() -> None:
    """Two with the same match."""
    assert verdict({"a": 0, "b": 0, "c": -9, "d": -9}, knowledge()).reason is Reason.TIE


def test_what_is_not_calibrated_is_said_to_be() -> None:
    """Without a bank, and after a fusion with other scores."""
    scores = {"a": 0.0, "b": -6.0, "c": -7.0, "d": -8.0}
    assert verdict(scores).reason is Reason.UNCALIBRATED
    known = knowledge()
    fused = ranking(scores, known, fusion=Fusion(0.5, 1.0))
    assert judge_match(fused, known, ORDER, quorum=2, policy=Policy.OPEN).reason is Reason.UNCALIBRATED


@pytest.mark.parametrize("policy", list(Policy))
@given(scores=st.lists(st.floats(-30, 5), min_size=4, max_size=4))
def test_every_verdict_is_whole(policy: Policy, scores: list[float]) -> None:
    """One source, or several, or a reason; named ones lead the ranking, and each statement has its measured worth."""
    known = knowledge()
    by_source = dict(zip(TESTED, scores, strict=True))
    found = verdict(by_source, known, policy)
    assert found.policy is policy
    assert (found.source is not None) == (found.kind is VerdictKind.ATTRIBUTED)
    assert bool(found.sources) == (found.kind in (VerdictKind.ATTRIBUTED_FAMILY, VerdictKind.NARROWED))
    assert (found.reason is not None) == (found.measured is None) == (found.kind is VerdictKind.INCONCLUSIVE)
    if found.kind is not VerdictKind.INCONCLUSIVE:
        best = max(by_source.values())
        assert best in [by_source[source] for source in (found.source, *found.sources) if source is not None]
