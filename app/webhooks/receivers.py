"""The addresses that may receive webhooks: public ones, over https unless the operator allows http."""

from app.settings import OutboundSettings, Settings


def receiver_rules(settings: Settings) -> OutboundSettings:
    """The outbound settings for webhooks: stricter than for images, which may be fetched without encryption."""
    https_only = settings.outbound.https_only or not settings.webhooks.allow_http
    return settings.outbound.model_copy(update={"https_only": https_only})
