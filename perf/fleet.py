"""A discrete-event simulation of the service's queues: time to verdict, use of GPUs, and money for a fleet of workers.

It has the service's rules, not its processes. Captioners and embedders take jobs in order. A local worker looks into
the queues of its sources in turn, and finishes several jobs of one before it loads another (`workers.local_sources`).
A vendor's calls are limited at once, in a minute and in ten seconds (`app.vendors.limits`), and jobs wait for room in
order. At its deadline a job is answered with the sources that have generated. Failures, retries, cached images,
refusals while queues are long and several tenants are not simulated. `perf.fleet_check` holds it against a real run.
"""

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import ceil, inf
from statistics import quantiles

# Those of `app.vendors.limits`: windows a little longer than the vendor's, a sixth of a minute's calls in ten seconds.
_MINUTE, _TENTH, _SIXTHS = 60.25, 10.25, 6


@dataclass(frozen=True, slots=True)
class LocalPool:
    """Workers with a GPU each that serve the same local sources.

    `image_seconds` by source; `batch` images are generated at once, one job's at least, and cost that much each;
    `drain` jobs of a source are finished before the next source's turn; `loaded` sources fit into a GPU.
    """

    image_seconds: Mapping[str, float]
    workers: int
    load_seconds: float = 0.0
    loaded: int = 1
    batch: int = 1
    drain: int = 8
    usd_per_hour: float = 0.0


@dataclass(frozen=True, slots=True)
class VendorLimits:
    """A remote source: seconds and dollars of an image, and its limits."""

    seconds: float
    per_minute: int | None = None
    concurrency: int | None = None
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class SimulatedFleet:
    """What there is of what. Seconds of a stage are per job, those of embedding per image, the query's own included."""

    pools: Sequence[LocalPool] = ()
    vendors: Mapping[str, VendorLimits] = field(default_factory=dict)
    captioners: int = 1
    caption_seconds: float = 0.0
    embedders: int = 1
    embed_seconds: float = 0.0
    # What a job costs besides: messages, transactions, screening, ranking.
    overhead_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class FleetOutcome:
    """What a simulated fleet did.

    `seconds` to the verdict of each job, in order of arrival; `short`: the share of jobs that ended at their deadline
    with fewer sources; `use`: the busy share of each pool's workers; `usd`: per job; `calls` of vendors, in all.
    """

    seconds: Sequence[float]
    short: float
    use: Sequence[float]
    usd: float
    calls: int

    @property
    def p50(self) -> float:
        """Half of the jobs took at most so many seconds."""
        return _percentile(self.seconds, 50)

    @property
    def p95(self) -> float:
        """19 of 20 jobs took at most so many seconds."""
        return _percentile(self.seconds, 95)


def _percentile(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


@dataclass(slots=True, eq=False)
class _SimulatedJob:
    arrived: float
    open_sources: int
    calls_left: dict[str, int]
    images: int = 0
    closed: bool = False
    ended: float = inf


class _Clock:
    """The future, in order."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._number), act))

    def run(self) -> None:
        while self._events:
            self.now, _, act = heapq.heappop(self._events)
            act()


class _Stage:
    """Workers that take jobs in order."""

    def __init__(self, clock: _Clock, workers: int) -> None:
        self._clock, self._free = clock, workers
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()

    def submit(self, seconds: float, then: Callable[[], None]) -> None:
        self._waiting.append((seconds, then))
        self._start()

    def _start(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            seconds, then = self._waiting.popleft()
            self._clock.after(seconds, lambda then=then: self._end(then))  # type: ignore[misc]

    def _end(self, then: Callable[[], None]) -> None:
        self._free += 1
        then()
        self._start()


@dataclass(slots=True, eq=False)
class _LocalWorker:
    order: list[str]
    loaded: list[str] = field(default_factory=list)


class _Local:
    """A pool at work."""

    def __init__(self, clock: _Clock, pool: LocalPool, images: int, end: Callable[[_SimulatedJob, int], None]) -> None:
        self._clock, self._pool, self._images, self._end = clock, pool, images, end
        self._waiting: dict[str, deque[_SimulatedJob]] = {source: deque() for source in pool.image_seconds}
        self._idle = deque(_LocalWorker(list(pool.image_seconds)) for _ in range(pool.workers))
        self.busy = 0.0

    def submit(self, job: _SimulatedJob) -> None:
        for waiting in self._waiting.values():
            waiting.append(job)
            if self._idle:
                self._begin(self._idle.popleft())

    def _begin(self, worker: _LocalWorker) -> None:
        """The worker looks into its queues, the one that it used last at the end."""
        for source in worker.order:
            if jobs := self._take(source):
                worker.order.remove(source)
                worker.order.append(source)
                return self._generate(worker, source, jobs, self._pool.drain)
        self._idle.append(worker)
        return None

    def _take(self, source: str) -> list[_SimulatedJob]:
        taken: list[_SimulatedJob] = []
        waiting = self._waiting[source]
        while waiting and (not taken or (len(taken) + 1) * self._images <= self._pool.batch):
            job = waiting.popleft()
            if not job.closed:
                taken.append(job)
        return taken

    def _generate(self, worker: _LocalWorker, source: str, jobs: list[_SimulatedJob], left: int) -> None:
        seconds = len(jobs) * self._images * self._pool.image_seconds[source]
        if source not in worker.loaded:
            seconds += self._pool.load_seconds
            worker.loaded = [*worker.loaded, source][-self._pool.loaded :]
        self.busy += seconds

        def end() -> None:
            for job in jobs:
                self._end(job, self._images)
            more = left - len(jobs)
            if more > 0 and (next_jobs := self._take(source)):
                self._generate(worker, source, next_jobs, more)
            else:
                self._begin(worker)

        self._clock.after(seconds, end)


class _Vendor:
    """A vendor's calls, one image each."""

    def __init__(self, clock: _Clock, limits: VendorLimits, end: Callable[[_SimulatedJob], None]) -> None:
        self._clock, self._limits, self._end = clock, limits, end
        self._waiting: deque[_SimulatedJob] = deque()
        self._starts: deque[float] = deque()
        self._running = 0
        self._wakes = False
        self.calls = 0

    def submit(self, job: _SimulatedJob, images: int) -> None:
        self._waiting.extend([job] * images)
        self._start()

    def _start(self) -> None:
        while self._waiting:
            if self._waiting[0].closed:
                self._waiting.popleft()
                continue
            if self._running >= (self._limits.concurrency or inf):
                return  # the next end starts the next call
            if (seconds := self._seconds_to_room()) > 0:
                if not self._wakes:
                    self._wakes = True
                    self._clock.after(seconds, self._wake)
                return
            self._running += 1
            self.calls += 1
            self._starts.append(self._clock.now)
            job = self._waiting.popleft()
            self._clock.after(self._limits.seconds, lambda job=job: self._ended(job))  # type: ignore[misc]

    def _wake(self) -> None:
        self._wakes = False
        self._start()

    def _seconds_to_room(self) -> float:
        if not self._limits.per_minute:
            return 0.0
        now, minute = self._clock.now, self._limits.per_minute
        while self._starts and self._starts[0] <= now - _MINUTE:
            self._starts.popleft()
        seconds = self._starts[-minute] + _MINUTE - now if len(self._starts) >= minute else 0.0
        tenth = ceil(minute / _SIXTHS)
        if len(self._starts) >= tenth:
            seconds = max(seconds, self._starts[-tenth] + _TENTH - now)
        return seconds

    def _ended(self, job: _SimulatedJob) -> None:
        self._running -= 1
        self._end(job)
        self._start()


def simulate(fleet: SimulatedFleet, arrivals: Sequence[float], images: int, deadline: float = 900.0) -> FleetOutcome:
    """What the fleet does with jobs that arrive at these seconds.

    Args:
        fleet: The workers, vendors and their speeds.
        arrivals: Ascending, at least one.
        images: Generated images of each source (γ).
        deadline: Seconds from a job's arrival to the end of generating for it.
    """
    clock = _Clock()
    captioning, embedding = _Stage(clock, fleet.captioners), _Stage(clock, fleet.embedders)
    sources = sum(len(pool.image_seconds) for pool in fleet.pools) + len(fleet.vendors)
    jobs = [_SimulatedJob(at, sources, dict.fromkeys(fleet.vendors, images)) for at in arrivals]

    def close(job: _SimulatedJob) -> None:
        if job.closed:
            return
        job.closed = True

        def end() -> None:
            job.ended = clock.now

        embedding.submit((1 + job.images) * fleet.embed_seconds, end)

    def end_source(job: _SimulatedJob, generated: int) -> None:
        if not job.closed:
            job.images += generated
            job.open_sources -= 1
            if not job.open_sources:
                close(job)

    def end_call(name: str, job: _SimulatedJob) -> None:
        job.calls_left[name] -= 1
        if not job.calls_left[name]:
            end_source(job, images)

    pools = [_Local(clock, pool, images, end_source) for pool in fleet.pools]
    vendors = {
        name: _Vendor(clock, limits, lambda job, name=name: end_call(name, job))  # type: ignore[misc]
        for name, limits in fleet.vendors.items()
    }

    def fan_out(job: _SimulatedJob) -> None:
        if job.closed:
            return
        for pool in pools:
            pool.submit(job)
        for vendor in vendors.values():
            vendor.submit(job, images)

    def arrive(job: _SimulatedJob) -> None:
        clock.after(deadline, lambda: close(job))
        seconds = fleet.caption_seconds
        clock.after(fleet.overhead_seconds, lambda: captioning.submit(seconds, lambda: fan_out(job)))

    for job in jobs:
        clock.after(job.arrived, lambda job=job: arrive(job))  # type: ignore[misc]
    clock.run()
    span = max(job.ended for job in jobs) - arrivals[0]
    calls = {name: vendor.calls for name, vendor in vendors.items()}
    usd = sum(pool.usd_per_hour * pool.workers * span / 3600 for pool in fleet.pools)
    usd += sum(fleet.vendors[name].usd * made for name, made in calls.items())
    return FleetOutcome(
        seconds=[job.ended - job.arrived for job in jobs],
        short=sum(job.open_sources > 0 for job in jobs) / len(jobs),
        use=[local.busy / (local_pool.workers * span) for local, local_pool in zip(pools, fleet.pools, strict=True)],
        usd=usd / len(jobs),
        calls=sum(calls.values()),
    )
