"""What one worker process holds: settings, stores, broker, catalog and the loaded models. Made once, at first use."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

from redis import Redis

from app.db.blobs import Blobs
from app.db.database import Database, connect
from app.jobs.snapshots import Snapshots, connect_redis
from app.queue.broker import Broker, make_celery
from app.queue.heartbeats import Heartbeats
from app.settings import Settings, load_settings
from app.vendors.circuit import Circuits
from app.vendors.limits import SourceLimits
from attribution.catalog import Catalog, load_catalog
from workers.children import Children
from workers.fetcher import Fetcher
from workers.leases import Leases
from workers.models import Models
from workers.notify import Couriers
from workers.screening import Screening, build_screening
from workers.vendor_connections import VendorConnections
from workers.wait_threads import WaitThreads
from workers.wakeups import Wakeups

# Remote sources asked at once by one process, and further generated images of them. A thread exists only once it is needed.
REMOTE_CALLS = 256
# Images that are described elsewhere at once, for one process.
CAPTIONS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Process:
    """The resources that every step of this process shares."""

    settings: Settings
    database: Database
    redis: Redis
    blobs: Blobs
    snapshots: Snapshots
    heartbeats: Heartbeats
    broker: Broker
    catalog: Catalog
    models: Models
    leases: Leases
    screening: Screening
    threads: ThreadPoolExecutor
    calls: ThreadPoolExecutor
    limits: SourceLimits
    circuits: Circuits
    waiting: Wakeups
    couriers: Couriers
    children: Children
    fetcher: Fetcher
    asking: WaitThreads
    outside: VendorConnections


@lru_cache(maxsize=1)
def this_process() -> Process:
    """The process's resources. Only the first call builds them; models load later, when a step needs them."""
    settings = load_settings()
    process = build_process(settings, Broker(make_celery(settings)))
    process.leases.start()
    return process


def build_process(settings: Settings, broker: Broker) -> Process:
    """The resources that the settings name; nothing connects, loads or runs yet."""
    redis = connect_redis(settings.redis)
    database = Database(connect(settings.database))
    catalog = load_catalog(settings.catalog.directories)
    threads = ThreadPoolExecutor(REMOTE_CALLS, thread_name_prefix="source")
    children = Children(settings.intake)
    outside = VendorConnections(settings)
    return Process(
        settings=settings,
        database=database,
        redis=redis,
        blobs=Blobs(settings.blobs.url),
        snapshots=Snapshots(redis, settings.redis),
        heartbeats=Heartbeats(redis),
        broker=broker,
        catalog=catalog,
        models=Models(settings.models, catalog, outside.ports),
        leases=Leases(database, settings.job.lease),
        screening=build_screening(settings, database),
        threads=threads,
        calls=ThreadPoolExecutor(REMOTE_CALLS, thread_name_prefix="call"),
        limits=SourceLimits(redis),
        circuits=Circuits(redis, settings.remote),
        waiting=Wakeups(threads),
        couriers=Couriers(database, settings),
        children=children,
        fetcher=Fetcher(settings),
        asking=WaitThreads("asking", CAPTIONS_AT_ONCE),
        outside=outside,
    )
