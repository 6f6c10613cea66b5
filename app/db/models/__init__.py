"""The tables. Every row belongs to a tenant."""

from app.db.models.access import DEFAULT_TENANT, ApiKey, AuditEntry, IdempotencyKey, Tenant, TenantVolume
from app.db.models.bank import BankBasis, BankContribution, BankSnapshot
from app.db.models.base import Base, Clearing
from app.db.models.calls import IMAGE, PROMPT, SourceCall, SourceSpend
from app.db.models.jobs import (
    CONTRIBUTING,
    ENDED,
    OPEN_JOB,
    RESULT_SCHEMA_VERSION,
    WAITING,
    ActivePipeline,
    Blob,
    BlobReference,
    ClaimableStep,
    Feedback,
    Job,
    JobSource,
    JobStatus,
    Stage,
)
from app.db.models.screening import HashList, HashListEntry, TextRule
from app.db.models.webhooks import WebhookAttempt, WebhookDelivery, WebhookEndpoint

__all__ = [
    "CONTRIBUTING",
    "DEFAULT_TENANT",
    "ENDED",
    "IMAGE",
    "OPEN_JOB",
    "PROMPT",
    "RESULT_SCHEMA_VERSION",
    "WAITING",
    "ActivePipeline",
    "ApiKey",
    "AuditEntry",
    "BankBasis",
    "BankContribution",
    "BankSnapshot",
    "Base",
    "Blob",
    "BlobReference",
    "ClaimableStep",
    "Clearing",
    "Feedback",
    "HashList",
    "HashListEntry",
    "IdempotencyKey",
    "Job",
    "JobSource",
    "JobStatus",
    "SourceCall",
    "SourceSpend",
    "Stage",
    "Tenant",
    "TenantVolume",
    "TextRule",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
]
