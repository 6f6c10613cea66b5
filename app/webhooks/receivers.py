"""Which addresses may be told: those that the outbound guard lets pass, and over https unless the operator says so."""

from app.settings import EgressSettings, Settings


def receiver_rules(settings: Settings) -> EgressSettings:
    """The outbound settings for webhooks: stricter than for images, which may be fetched without encryption."""
    https_only = settings.egress.https_only or not settings.webhooks.allow_http
    return settings.egress.model_copy(update={"https_only": https_only})
