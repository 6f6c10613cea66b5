"""Assembles the API: routers, error handling, middleware, the lifespan with its resources, and the OpenAPI document."""

from fastapi import FastAPI

from app import __version__
from app.api import (
    attribution,
    audit,
    batch,
    documentation,
    events,
    feedback,
    health,
    images,
    job_listing,
    keys,
    problems,
    references,
    response_headers,
    screening,
    sources,
    webhooks,
)
from app.api.authentication import AuthenticationMiddleware
from app.api.lifespan import lifespan
from app.api.middleware import ObserveMiddleware, RequestIdMiddleware
from app.api.openapi import describe
from app.settings import Settings, load_settings
from app.telemetry.logs import configure_logging


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI app. Raises pydantic's ValidationError where settings are missing or invalid."""
    settings = settings or load_settings()
    configure_logging(settings.log)
    app = FastAPI(
        title="whodrew",
        summary="Which generator made this image?",
        description="Attributes an image to a generator: every candidate source resynthesizes it from its caption, and "
        "the source of the nearest generated images ranks first.",
        version=__version__,
        lifespan=lifespan(settings),
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(AuthenticationMiddleware, settings=settings.access, origins=settings.api.cors_origins)
    response_headers.install(app, settings.api)
    app.add_middleware(ObserveMiddleware, log_reads=settings.log.reads)
    app.add_middleware(RequestIdMiddleware)
    app.router.routes.append(attribution.PollRoute())  # before the router that has the same path
    for module in (
        attribution,
        batch,
        job_listing,
        events,
        images,
        feedback,
        references,
        webhooks,
        screening,
        keys,
        audit,
        sources,
        health,
        documentation,
        problems,
    ):
        app.include_router(module.router)
    problems.install(app)
    describe(app)
    return app
