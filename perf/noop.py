"""The reference of `make bench-overhead`: a Celery worker with one task that does nothing, with the service's options.

`python -m perf.noop` runs the worker. It keeps results in Redis, so that a task is a round trip.
"""

from celery import Celery

from app.queue.broker import make_celery
from app.settings import load_settings

QUEUE = "noop"
TASK = "perf.noop"


def make_app() -> Celery:
    """The service's Celery app, with a result backend."""
    settings = load_settings()
    celery = make_celery(settings)
    celery.conf.result_backend = settings.redis.url.get_secret_value()
    celery.task(noop, name=TASK, ignore_result=False)
    return celery


def noop() -> None:
    """Nothing."""


def main() -> None:
    """Runs the worker as the service's light one is run."""
    arguments = ["worker", "--pool", "threads", "--concurrency", "4", "--queues", QUEUE, "--loglevel", "warning"]
    make_app().worker_main([*arguments, "--without-gossip", "--without-mingle", "--hostname", "noop@%h"])


if __name__ == "__main__":
    main()
