"""Assembles the API: routers, error handling, the lifespan that owns its resources, and a true OpenAPI."""

from fastapi import FastAPI

from app.api import (
    audit,
    batch,
    events,
    feedback,
    health,
    images,
    keys,
    listing,
    metrics,
    poll,
    problems,
    references,
    screening,
    security,
    sources,
    submit,
    webhooks,
    withdraw,
)
from app.api.access import AccessMiddleware
from app.api.body import BodyLimitMiddleware
from app.api.middleware import RequestIdMiddleware
from app.api.observe import ObserveMiddleware
from app.api.openapi import describe
from app.api.resources import lifespan
from app.api.rules import describe_access
from app.api.webhook_events import describe_events
from app.settings import Settings, load_settings
from app.telemetry.logs import configure_logging


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI app. Raises pydantic's ValidationError where settings are missing or wrong."""
    settings = settings or load_settings()
    configure_logging(settings.log)
    app = FastAPI(
        title="whodrew",
        summary="Which generator made this image?",
        description="Attributes an image to a generator: every source generates it again, and the nearest generated image wins.",
        version="0.1.0",
        lifespan=lifespan(settings),
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.add_middleware(BodyLimitMiddleware)
    app.add_middleware(AccessMiddleware, settings=settings.access)
    security.install(app, settings.api)
    app.add_middleware(ObserveMiddleware, log_reads=settings.log.reads)
    app.add_middleware(RequestIdMiddleware)
    for module in (
        submit,
        batch,
        poll,
        listing,
        events,
        images,
        feedback,
        references,
        withdraw,
        webhooks,
        screening,
        keys,
        audit,
        sources,
        health,
        metrics,
        problems,
    ):
        app.include_router(module.router)
    problems.install(app)
    describe_events(app)
    describe(app)
    describe_access(app)
    return app
