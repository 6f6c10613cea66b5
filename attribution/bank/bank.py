"""The bank: past jobs' residuals in one feature space, and what they teach about the sources of a new job.

A state of the bank is a value: it never changes, and `version` names it. What was learned of one revision of a source
says nothing about the next, so sources are "id@revision" here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from threading import Lock
from typing import Final

from attribution.bank.calibration import FEWEST_JOBS, SelfCalibration, calibrate, fit_temperature
from attribution.bank.model import BankModel, directions, fit
from attribution.bank.past_job import PastJob
from attribution.bank.race_simulation import RaceAsking
from attribution.bank.simulation import Asking, FixedAsking, Simulated, simulate, simulate_strangers
from attribution.bank.stack import Floats, JobStack

MOST_JOBS: Final = 300  # the window: older jobs leave
_ENOUGH_JOBS = 20  # with so many images of each source, to calibrate on
_CONFUSED = 0.25  # of one source's simulated queries taken for another: the two are relatives


@dataclass(frozen=True, slots=True)
class Experience:
    """What a bank knows about a list of sources.

    Attributes:
        model: Of their residuals.
        directions: (d, r), on which residuals are projected for it.
        calibration: Of its scores; None where there is too little to simulate queries with.
    """

    model: BankModel
    directions: Floats
    calibration: SelfCalibration | None


@dataclass(frozen=True)
class Bank:
    """One state.

    Attributes:
        space: The embedder and the version of the features; residuals of other spaces cannot be compared.
        past: The past jobs, oldest first.
        basis: (D, d) orthonormal columns on which residuals are projected; None while they are whole.
    """

    space: str
    past: tuple[PastJob, ...]
    basis: Floats | None = None
    _known: dict[tuple[tuple[str, ...], tuple[int, ...], int, bool], Experience | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _lock: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)

    @cached_property
    def version(self) -> str:
        """A hash of its feature space and past jobs."""
        digest = sha256(self.space.encode())
        for job in self.past:
            for source in sorted(job.images):
                digest.update(f"{job.job}|{source}".encode())
                digest.update(job.images[source].tobytes())
        return f"sha256:{digest.hexdigest()[:16]}"

    @cached_property
    def jobs(self) -> Mapping[str, int]:
        """How many past jobs there are of each "id@revision"."""
        counts: dict[str, int] = {}
        for job in self.past:
            for source in job.images:
                counts[source] = counts.get(source, 0) + 1
        return dict(sorted(counts.items()))

    def knows(self, sources: Sequence[str]) -> bool:
        """Whether it has enough past jobs of each "id@revision" to calibrate what is said about it."""
        return all(self.jobs.get(source, 0) >= FEWEST_JOBS for source in sources)

    def supports_racing(self, sources: Sequence[str]) -> bool:
        """Whether enough past jobs have several images of all these "id@revision": those that raced have not."""
        counts = [[len(job.images.get(source, ())) for source in sources] for job in self.past]
        return self.knows(sources) and _enough([min(each) for each in counts], 1)

    def project(self, rows: Floats) -> Floats:
        """(n, d): residuals (n, D) of a new job as those of past jobs are stored."""
        return rows if self.basis is None else rows @ self.basis

    def experience(
        self, sources: Sequence[str], families: Mapping[str, str], images: int, racing: bool = False
    ) -> Experience | None:
        """What is known about these sources; None where fewer than five past jobs had two of them.

        The first call for a list of sources fits and calibrates, which takes from tenths of a second to some seconds.

        Args:
            sources: "id@revision", in the order of all scores.
            families: The family of each source; relatives are left out together, and named together.
            images: The fewest images that a source of the new job has; of a race, the most that one may get.
            racing: Whether the new job races, so that its calibration is made of simulated races.
        """
        names = {family: at for at, family in enumerate(dict.fromkeys(families[source] for source in sources))}
        numbers = tuple(names[families[source]] for source in sources)
        key = (tuple(sources), numbers, images, racing)
        with self._lock:  # fitted once, however many threads ask
            if key not in self._known:
                self._known[key] = self._learn(sources, numbers, images, racing)
            return self._known[key]

    def _learn(self, sources: Sequence[str], families: Sequence[int], images: int, racing: bool) -> Experience | None:
        stack = JobStack.of(self.past, sources)
        if len(stack) < FEWEST_JOBS:
            return None
        length = self.past[0].length
        columns = directions(stack)
        stack = stack.projected(columns)
        model = fit(stack, length)
        assert model is not None
        # A new source has no past images that could play queries.
        if not self.knows(sources):
            return Experience(model, columns, None)
        asking = _racing(stack, length, images) if racing else _fixed(stack, images)
        asked = int(asking.usable(stack.counts).sum())
        own, _ = simulate(stack, length, asking)
        if len(own.truth) < FEWEST_JOBS * len(sources):
            return Experience(model, columns, None)
        groups = dict(zip(sources, _with_confused(own, families), strict=True))
        members: dict[int, list[str]] = {}
        for source, group in groups.items():
            members.setdefault(group, []).append(source)
        strangers = simulate_strangers(stack, length, list(members.values()), asking)
        return Experience(model, columns, calibrate(sources, own, strangers, groups, asked))


def _fixed(stack: JobStack, images: int) -> Asking:
    """As many siblings as the new job has images, if enough past jobs have so many; those that raced have not."""
    fewest = stack.counts.min(axis=1).tolist()
    return FixedAsking(next((each for each in range(images, 1, -1) if _enough(fewest, each)), 1))


def _enough(fewest: Sequence[int], images: int) -> bool:
    """Whether enough jobs have more than so many images of each source; `fewest` is the least of each job."""
    enough = min(_ENOUGH_JOBS, sum(each > 0 for each in fewest) / 2)
    return 0 < sum(each > images for each in fewest) >= enough


def _racing(stack: JobStack, length: int, images: int) -> Asking:
    """The temperature of a race decides who is dropped, and is fitted to how races end: found in two steps."""
    asking = RaceAsking(1, 1.0)
    for most in (1, images):
        own, _ = simulate(stack, length, RaceAsking(most, asking.temperature))
        if not len(own.truth):
            break
        asking = RaceAsking(images, fit_temperature(own))
    return asking


def _with_confused(own: Simulated, families: Sequence[int]) -> list[int]:
    """The families, joined where a source's simulated queries are often taken for a member of another one."""
    groups = list(families)
    best = own.scores.argmax(axis=1)
    for i in range(len(families)):
        mine = best[own.truth == i]
        for j in range(len(families)):
            if i != j and len(mine) and float((mine == j).mean()) > _CONFUSED:
                groups = [min(groups[i], groups[j]) if g in (groups[i], groups[j]) else g for g in groups]
    return groups
