"""The tables. Every row belongs to a tenant."""

from app.store.models.access import DEFAULT_TENANT, ApiKey, AuditEntry, IdempotencyKey, Tenant
from app.store.models.base import Base
from app.store.models.calls import IMAGE, PROMPT, SourceCall
from app.store.models.feedback import Feedback
from app.store.models.jobs import (
    ENDED,
    OPEN_JOB,
    RESULT_SCHEMA_VERSION,
    WAITING,
    Blob,
    BlobReference,
    Job,
    JobSource,
    JobStatus,
    Stage,
    Step,
)
from app.store.models.methods import MethodInForce
from app.store.models.screening import HashList, HashListEntry, TextRule
from app.store.models.webhooks import WebhookAttempt, WebhookDelivery, WebhookEndpoint

__all__ = [
    "DEFAULT_TENANT",
    "ENDED",
    "IMAGE",
    "OPEN_JOB",
    "PROMPT",
    "RESULT_SCHEMA_VERSION",
    "WAITING",
    "ApiKey",
    "AuditEntry",
    "Base",
    "Blob",
    "BlobReference",
    "Feedback",
    "HashList",
    "HashListEntry",
    "IdempotencyKey",
    "Job",
    "JobSource",
    "JobStatus",
    "MethodInForce",
    "SourceCall",
    "Stage",
    "Step",
    "Tenant",
    "TextRule",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
]
