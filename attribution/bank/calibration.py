"""From scores to statements: probabilities, prediction sets, and when a source may be named.

Everything is calibrated on simulated queries (`simulation.py`), so no labeled query is needed: the temperature of the
probabilities, the conformal quantile of the sets, and the rule by which a source is named although the query may be of
none of them: a logistic regression on margin and fit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from attribution.bank.simulation import Simulated, Strangers
from attribution.bank.stack import Floats, softmax
from attribution.estimate import Measured

FEWEST_JOBS: Final = 5  # a bank of fewer may make the answer worse
COVERAGE: Final = 0.9  # of the prediction sets
PRECISION: Final = 0.98  # of named simulated queries; bounds hold with a reserve
_CLOSED_PRECISION = 0.985  # the same where the image must be by one of the sources asked
STRANGERS_NAMED: Final = 0.015
_YOUNG, _STRANGERS_NAMED_YOUNG = 50, 0.005  # a bank of fewer jobs named one in ten strangers without this reserve
# True queries are harder than simulated ones: they come from another text than the caption. What that costs was
# measured on the demo models' calibration characters; docs/method.md says what was seen on the test characters.
_SIMULATED_COVERAGE = 0.96
_TEMPERATURE_SHARE = 0.6
_FEWEST_NAMED = 10
_RESERVE = 0.8416  # standard deviations: the bounds hold with 80 % confidence, were queries independent
_TEMPERATURES = np.exp(np.linspace(np.log(0.005), np.log(5), 60))
_UNLIKELY = 0.01  # the share of own simulated queries whose fit is below the limit of `none_of_these_likely`


@dataclass(frozen=True, slots=True)
class NamingRule:
    """Names the best where `weights · (1, margin, fit) ≥ threshold`, margin and fit in standard units.

    `threshold` is infinite where nothing may be named.
    """

    center: tuple[float, float]
    spread: tuple[float, float]
    weights: tuple[float, float, float]
    threshold: float
    measured: Measured

    def names(self, margins: Floats, fits: Floats) -> NDArray[np.bool_]:
        """(n,) whether the best may be named."""
        return np.asarray(self.values(margins, fits) >= self.threshold)

    def values(self, margins: Floats, fits: Floats) -> Floats:
        """(n,) the sum that is compared with the threshold."""
        standard = [(np.stack([margins, fits], 1)[:, at] - self.center[at]) / self.spread[at] for at in (0, 1)]
        return np.asarray(self.weights[0] + self.weights[1] * standard[0] + self.weights[2] * standard[1])


@dataclass(frozen=True, slots=True)
class SelfCalibration:
    """What was calibrated for one list of sources.

    Attributes:
        temperature: Probabilities are softmax(temperature · scores).
        set_level: A source belongs to the set if its probability is at least 1 − set_level.
        fit_limit: A fit below means that the query is probably by none of the sources.
        fit_center, fit_spread: Mean and standard deviation of the fit of simulated queries.
        groups: The group of relatives of each source, as a number.
        source_rule: When the best source is named, if the query may be a stranger's.
        group_rule: When the best group is named; None without a group of several, or with one group alone.
        closed_level: The probability from which a source is named if it must be one of those asked.
        closed: What that level did with sources.
        closed_group: What it did with groups, where no source was named; None without a group of several.
        narrowed: What the sets did that were smaller than the list of sources, where nothing was named by the rules.
        closed_narrowed: The same where nothing was named by `closed_level`.
    """

    temperature: float
    set_level: float
    fit_limit: float
    fit_center: float
    fit_spread: float
    groups: tuple[int, ...]
    source_rule: NamingRule
    group_rule: NamingRule | None
    closed_level: float
    closed: Measured
    closed_group: Measured | None
    narrowed: Measured
    closed_narrowed: Measured

    def probabilities(self, scores: Floats) -> Floats:
        """(…, S), given that one of the sources made it."""
        return softmax(self.temperature * scores)

    def in_set(self, probabilities: Floats) -> NDArray[np.bool_]:
        """(…, S) which sources are in the prediction set; the likeliest always is."""
        return np.asarray(
            (probabilities >= 1 - self.set_level) | (probabilities == probabilities.max(axis=-1, keepdims=True))
        )


def calibrate(
    sources: Sequence[str], own: Simulated, strangers: Sequence[Strangers], groups: Mapping[str, int], jobs: int
) -> SelfCalibration:
    """Calibrates on simulated queries.

    Args:
        sources: In the order of all scores.
        own: Simulated queries by these sources.
        strangers: Queries by a group of them, answered by the model of the others.
        groups: The group of relatives of each source.
        jobs: How many past jobs were asked about.
    """
    most = STRANGERS_NAMED if jobs >= _YOUNG else _STRANGERS_NAMED_YOUNG
    temperature = fit_temperature(own)
    probabilities = softmax(temperature * own.scores)
    count = len(own.truth)
    of_truth = probabilities[np.arange(count), own.truth]
    level = float(np.quantile(1 - of_truth, min(1.0, np.ceil((count + 1) * _SIMULATED_COVERAGE) / count)))
    sets = (probabilities >= 1 - level) | (probabilities == probabilities.max(axis=1, keepdims=True))
    covered, small = sets[np.arange(count), own.truth], sets.sum(axis=1) < len(sources)
    fits = own.scores.max(axis=1)
    closed_level, closed = _closed(probabilities, own.right)
    alone = {source: at for at, source in enumerate(sources)}
    of_source = np.array([groups[source] for source in sources])
    several = 1 < len(set(groups.values())) < len(sources)  # a single group has no other one to lead over
    source_rule = naming_rule(sources, own, strangers, alone, most)
    group_rule = naming_rule(sources, own, strangers, groups, most) if several else None
    # Of each query: the probability of the likeliest source's group, whether that is the right one, and whether it has
    # several members.
    best = of_source[own.scores.argmax(axis=1)]
    together = (probabilities * (of_source == best[:, None])).sum(axis=1)
    group_right = best == of_source[own.truth]
    relatives = (of_source == best[:, None]).sum(axis=1) > 1
    named = source_rule.names(*margin_and_fit(own.scores, np.arange(len(sources))))
    if group_rule is not None:
        grouped = relatives & group_rule.names(*margin_and_fit(own.scores, of_source)) & ~named
        own_measured = _measured(grouped, group_right)
        # Strangers are counted whether a source or a group was named for them: that is the greater share.
        group_rule = replace(
            group_rule, measured=replace(group_rule.measured, named=own_measured.named, right=own_measured.right)
        )
        named |= grouped
    closed_named = probabilities.max(axis=1) >= closed_level
    closed_groups = relatives & (together >= closed_level) & ~closed_named if several else np.zeros(count, bool)
    return SelfCalibration(
        temperature=temperature,
        set_level=level,
        fit_limit=float(np.quantile(fits, _UNLIKELY)),
        fit_center=float(fits.mean()),
        fit_spread=float(fits.std()) or 1.0,
        groups=tuple(groups[source] for source in sources),
        source_rule=source_rule,
        group_rule=group_rule,
        closed_level=closed_level,
        closed=closed,
        closed_group=_measured(closed_groups, group_right) if several else None,
        narrowed=_measured(small & ~named, covered),
        closed_narrowed=_measured(small & ~closed_named & ~closed_groups, covered),
    )


def _measured(said: NDArray[np.bool_], right: NDArray[np.bool_]) -> Measured:
    """About which of the queries something was said, and how often rightly."""
    return Measured(len(said), float(said.mean()), float(right[said].mean()) if said.any() else None)


def naming_rule(
    sources: Sequence[str],
    own: Simulated,
    strangers: Sequence[Strangers],
    groups: Mapping[str, int],
    most: float = STRANGERS_NAMED,
) -> NamingRule:
    """The rule that names most simulated queries within the bounds on precision and on strangers, with a reserve."""
    of_source = np.array([groups[source] for source in sources])
    features, center, spread = _standard(own.scores, of_source)
    right = of_source[own.scores.argmax(axis=1)] == of_source[own.truth]
    unknown = []
    for each in strangers:
        of_rest = np.array([groups[source] for source in each.rest])
        if len(set(of_rest)) > 1:
            unknown.append(_standard(each.strangers.scores, of_rest, each.own.scores)[0])
    foreign = np.concatenate(unknown) if unknown else np.zeros((0, 2))
    weights = _logistic(np.concatenate([features, foreign]), np.concatenate([right, np.zeros(len(foreign), bool)]))
    values, theirs = (weights[0] + rows @ weights[1:] for rows in (features, foreign))
    threshold = _threshold(values, right, theirs, most) if unknown else np.inf
    named, wrongly = values >= threshold, theirs >= threshold
    measured = Measured(
        queries=len(right),
        named=float(named.mean()),
        right=float(right[named].mean()) if named.any() else None,
        strangers=len(foreign),
        strangers_named=float(wrongly.mean()) if len(wrongly) else 0.0,
    )
    return NamingRule(center, spread, (float(weights[0]), float(weights[1]), float(weights[2])), threshold, measured)


def margin_and_fit(scores: Floats, groups: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """(n,) the lead of the best score over the best of another group, and the best score."""
    best = scores.max(axis=1)
    theirs = np.where(groups == groups[scores.argmax(axis=1)][:, None], -np.inf, scores)
    return best - theirs.max(axis=1), best


def wilson(share: float, count: int, deviations: float) -> float:
    """Wilson's bound of a share that was seen in `count` cases, so many standard deviations up or down."""
    if not count:
        return 0.0 if deviations < 0 else 1.0
    spread = np.sqrt(share * (1 - share) / count + deviations**2 / (4 * count**2))
    return float((share + deviations**2 / (2 * count) + deviations * spread) / (1 + deviations**2 / count))


def fit_temperature(own: Simulated) -> float:
    """The temperature of the least negative log-likelihood, with what true queries are harder."""
    rows = np.arange(len(own.truth))
    losses = [-np.log(softmax(each * own.scores)[rows, own.truth] + 1e-12).mean() for each in _TEMPERATURES]
    return _TEMPERATURE_SHARE * float(_TEMPERATURES[int(np.argmin(losses))])


def _closed(probabilities: Floats, right: NDArray[np.bool_]) -> tuple[float, Measured]:
    best = probabilities.max(axis=1)
    for level in np.arange(0.5, 0.991, 0.01):
        named = best >= level
        count = int(named.sum())
        if count >= _FEWEST_NAMED and wilson(float(right[named].mean()), count, -_RESERVE) >= _CLOSED_PRECISION:
            return float(level), _measured(named, right)
    return np.inf, _measured(np.zeros(len(right), bool), right)


def _standard(
    scores: Floats, groups: NDArray[np.intp], own: Floats | None = None
) -> tuple[Floats, tuple[float, float], tuple[float, float]]:
    """(n, 2) margin and fit in units of the own queries' standard deviations, and these units."""
    reference = np.stack(margin_and_fit(scores if own is None else own, groups), 1)
    center, spread = reference.mean(axis=0), reference.std(axis=0) + 1e-9
    features = (np.stack(margin_and_fit(scores, groups), 1) - center) / spread
    return features, (float(center[0]), float(center[1])), (float(spread[0]), float(spread[1]))


def _logistic(features: Floats, labels: NDArray[np.bool_]) -> Floats:
    """(1 + m,) weights of a logistic regression with a Gaussian prior of one on all but the first; Newton's method."""
    inputs = np.concatenate([np.ones((len(features), 1)), features], axis=1)
    prior = np.diag([0.0, *np.ones(features.shape[1])])
    weights = np.zeros(inputs.shape[1])
    for _ in range(30):
        expected = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        gradient = inputs.T @ (expected - labels) + prior @ weights
        curvature = (inputs * (expected * (1 - expected) + 1e-9)[:, None]).T @ inputs + prior
        step = np.linalg.solve(curvature + 1e-9 * np.eye(len(weights)), gradient)
        weights -= step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def _threshold(values: Floats, right: NDArray[np.bool_], strangers: Floats, most: float) -> float:
    """The lowest threshold within the bounds, with at most the share `most` of strangers named; else infinite."""
    for threshold in np.unique(np.quantile(np.concatenate([values, strangers]), np.linspace(0, 1, 401))):
        named = values >= threshold
        count = int(named.sum())
        if count < _FEWEST_NAMED:
            break
        if (
            wilson(float(right[named].mean()), count, -_RESERVE) >= PRECISION
            and wilson(float((strangers >= threshold).mean()), len(strangers), _RESERVE) <= most
        ):
            return float(threshold)
    return np.inf
