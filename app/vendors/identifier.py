"""How vendors tell this installation's tenants apart without learning who they are."""

import hashlib
import hmac
import uuid

from app.settings import RemoteSettings

_LENGTH = 32


def safety_identifier(settings: RemoteSettings, tenant_id: uuid.UUID) -> str:
    """Stable for a tenant, and not its id: keyed by the installation's secret where it has one."""
    secret = settings.identifier_secret
    key = b"" if secret is None else secret.get_secret_value().encode()
    return hmac.new(key, b"safety identifier " + tenant_id.bytes, hashlib.sha256).hexdigest()[:_LENGTH]
