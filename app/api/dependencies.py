"""What endpoints ask for in their signatures. Tests replace the functions by `dependency_overrides`."""

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

from anyio import Semaphore
from fastapi import Depends, Request

from app.access.scopes import Scope
from app.intake import acceptance
from app.queue import heartbeats
from app.settings import Settings as AllSettings
from app.store import database, snapshots
from app.store.models import DEFAULT_TENANT
from attribution import catalogue


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling; they see what belongs to their tenant and nothing else."""

    tenant_id: uuid.UUID
    actor: str  # as the audit log names it
    scopes: frozenset[Scope]


def get_caller() -> Identity:
    """Everybody is the default tenant until there are keys."""
    return Identity(DEFAULT_TENANT, "anybody", frozenset(Scope))


def get_submitter(caller: "Caller") -> Identity:
    """Who may hand in images."""
    return caller


def get_reader(caller: "Caller") -> Identity:
    """Who may see answers."""
    return caller


def get_administrator(caller: "Caller") -> Identity:
    """Who may change the tenant's keys, webhooks and rules, and erase."""
    return caller


def get_settings(request: Request) -> AllSettings:
    """The process's settings."""
    return cast(AllSettings, request.state.settings)


def get_database(request: Request) -> database.Database:
    """The door to Postgres."""
    return cast(database.Database, request.state.database)


def get_snapshots(request: Request) -> snapshots.Snapshots:
    """Job documents in Redis."""
    return cast(snapshots.Snapshots, request.state.snapshots)


def get_heartbeats(request: Request) -> heartbeats.Heartbeats:
    """Who is warm."""
    return cast(heartbeats.Heartbeats, request.state.heartbeats)


def get_catalogue(request: Request) -> catalogue.Catalogue:
    """The sources."""
    return cast(catalogue.Catalogue, request.state.catalogue)


def get_intake(request: Request) -> acceptance.Intake:
    """What accepts uploads."""
    return cast(acceptance.Intake, request.state.intake)


def get_uploads(request: Request) -> Semaphore:
    """The places for uploads in progress."""
    return cast(Semaphore, request.state.uploads)


def get_spool(request: Request) -> Path:
    """The folder for uploads in progress."""
    return cast(Path, request.state.spool)


Caller = Annotated[Identity, Depends(get_caller)]
Submitter = Annotated[Identity, Depends(get_submitter)]
Reader = Annotated[Identity, Depends(get_reader)]
Administrator = Annotated[Identity, Depends(get_administrator)]
Settings = Annotated[AllSettings, Depends(get_settings)]
Database = Annotated[database.Database, Depends(get_database)]
Snapshots = Annotated[snapshots.Snapshots, Depends(get_snapshots)]
Heartbeats = Annotated[heartbeats.Heartbeats, Depends(get_heartbeats)]
Catalogue = Annotated[catalogue.Catalogue, Depends(get_catalogue)]
Intake = Annotated[acceptance.Intake, Depends(get_intake)]
Uploads = Annotated[Semaphore, Depends(get_uploads)]
Spool = Annotated[Path, Depends(get_spool)]
