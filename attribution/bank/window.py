"""The window: which past jobs a bank has, of those that an installation keeps and those that were shipped to it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from attribution.bank.calibration import FEWEST_JOBS
from attribution.bank.past_job import PastJob


def newest_window(own: Sequence[PastJob], shipped: Sequence[PastJob], most: int) -> tuple[PastJob, ...]:
    """At most so many past jobs, oldest first: an installation's own, and behind them the shipped ones.

    Of a source only the newest revision is left once enough jobs have it, and of a job only what can be compared: at
    least two sources. The same job counts once.
    """
    by_name: dict[str, PastJob] = {}
    for job in (*reversed(own), *reversed(shipped)):
        by_name.setdefault(job.job, job)
    jobs = list(by_name.values())[::-1]
    replaced = replaced_revisions(jobs)
    current = [
        replace(job, images={key: rows for key, rows in job.images.items() if key not in replaced}) for job in jobs
    ]
    return tuple([job for job in current if len(job.images) > 1][-most:])


def replaced_revisions(jobs: Sequence[PastJob]) -> frozenset[str]:
    """The "id@revision" of which the source has a newer revision with enough jobs; jobs are oldest first."""
    counts = Counter(key for job in jobs for key in job.images)
    newest = {source_of(key): key for job in jobs for key in job.images}
    return frozenset(key for key in counts if (now := newest[source_of(key)]) != key and counts[now] >= FEWEST_JOBS)


def source_of(key: str) -> str:
    """The id in "id@revision"."""
    return key.partition("@")[0]
