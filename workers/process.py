"""What one worker process holds: settings, stores, broker, catalogue and the loaded models. Made once, at first use."""

from dataclasses import dataclass
from functools import lru_cache

from app.queue.broker import Broker, make_celery
from app.queue.heartbeats import Heartbeats
from app.settings import Settings, load_settings
from app.store.blobs import Blobs
from app.store.database import Database, connect
from app.store.snapshots import Snapshots, connect_redis
from attribution.catalogue import Catalogue, load_catalogue
from workers.leases import Leases
from workers.models import Models
from workers.screening import Hook, load_hooks


@dataclass(frozen=True, slots=True)
class Process:
    """The resources that every step of this process shares."""

    settings: Settings
    database: Database
    blobs: Blobs
    snapshots: Snapshots
    heartbeats: Heartbeats
    broker: Broker
    catalogue: Catalogue
    models: Models
    leases: Leases
    hooks: tuple[Hook, ...]


@lru_cache(maxsize=1)
def this_process() -> Process:
    """The process's resources. Only the first call builds them; models load later, when a step needs them."""
    settings = load_settings()
    redis = connect_redis(settings.redis)
    database = Database(connect(settings.database))
    catalogue = load_catalogue(settings.catalogue.directories)
    leases = Leases(database, settings.job.lease)
    leases.start()
    return Process(
        settings=settings,
        database=database,
        blobs=Blobs(settings.blobs.url),
        snapshots=Snapshots(redis, settings.redis),
        heartbeats=Heartbeats(redis),
        broker=Broker(make_celery(settings)),
        catalogue=catalogue,
        models=Models(settings.models, catalogue),
        leases=leases,
        hooks=load_hooks(settings.screening.hooks),
    )
