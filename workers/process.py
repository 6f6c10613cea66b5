"""The resources of one worker process, in three groups: storage, models, vendors. Built once, at first use."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from app.db.models import Stage
from app.queue.broker import Broker, make_celery
from app.settings import Settings, load_settings
from attribution.catalog import load_catalog
from workers.decoder_processes import DecoderProcesses
from workers.fetch import Fetcher
from workers.local_sources import LocalSources
from workers.models import Models
from workers.notify import WebhookSender
from workers.screening import Screening, build_screening
from workers.storage import Storage, build_storage
from workers.turns import Turns
from workers.vendors import Vendors, build_vendors


@dataclass(frozen=True, slots=True)
class Process:
    """Everything that the steps of this process share; a step takes the parts that it needs."""

    settings: Settings
    storage: Storage
    models: Models
    vendors: Vendors
    screening: Screening
    decoders: DecoderProcesses
    fetcher: Fetcher
    webhooks: WebhookSender
    local: LocalSources
    turns: Mapping[Stage, Turns]  # of the stages in which tenants would wait for each other


@lru_cache(maxsize=1)
def this_process() -> Process:
    """The process's resources. Only the first call builds them; models load later, when a step needs them."""
    settings = load_settings()
    process = build_process(settings, Broker(make_celery(settings)))
    process.storage.leases.start()
    return process


def build_process(settings: Settings, broker: Broker) -> Process:
    """The resources that the settings name; nothing connects, loads or runs yet."""
    storage = build_storage(settings, broker)
    decoders = DecoderProcesses(settings.intake)
    vendors = build_vendors(settings, storage.redis, decoders)
    catalog = load_catalog(settings.catalog.directories)
    if settings.models.sources:
        catalog = catalog.with_local(settings.models.sources)
    models = Models(settings.models, catalog, vendors.connections.ports)
    return Process(
        settings=settings,
        storage=storage,
        models=models,
        vendors=vendors,
        screening=build_screening(settings, storage.database),
        decoders=decoders,
        fetcher=Fetcher(settings),
        webhooks=WebhookSender(storage.database, settings),
        local=LocalSources(storage, models),
        turns={stage: Turns() for stage in (Stage.SCREENING, Stage.EMBEDDING)},
    )
