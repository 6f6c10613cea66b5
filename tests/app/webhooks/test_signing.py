"""Signatures, as the specification's own library verifies them."""

import base64
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.db.models import WebhookEndpoint
from app.webhooks.endpoints import rotate_secret, signing_secrets
from app.webhooks.signing import new_secret, signed_headers

PAYLOAD = '{"type":"attribution.completed","data":{"external_id":"größer"}}'
DELIVERY = uuid.UUID("019b7c3e-5d08-7a51-9c0e-2f4f1f0f6a11")


def test_a_secret_is_as_the_specification_wants_it():
    """whsec_ and 24 to 64 random bytes."""
    secrets = {new_secret() for _ in range(50)}
    assert len(secrets) == 50
    for secret in secrets:
        assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64


def test_what_is_signed_verifies_and_what_was_touched_does_not():
    """Payload, id and time are all part of what is signed."""
    secret, now = new_secret(), datetime.now(UTC)
    headers = signed_headers(DELIVERY, now, PAYLOAD, [secret])
    assert headers["webhook-id"] == f"msg_{DELIVERY}"
    assert headers["webhook-timestamp"] == str(int(now.timestamp()))
    assert Webhook(secret).verify(PAYLOAD.encode(), headers)["data"] == {"external_id": "größer"}
    for payload, changed in (
        (PAYLOAD + " ", {}),
        (PAYLOAD, {"webhook-id": "msg_other"}),
        (PAYLOAD, {"webhook-timestamp": str(int(now.timestamp()) - 1)}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(payload, headers | changed)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(PAYLOAD, headers)


def test_during_a_rotation_both_secrets_sign():
    """A receiver verifies with either, until the overlap is over; then only with the new one."""
    former, now = new_secret(), datetime.now(UTC)
    endpoint = WebhookEndpoint(secrets=[{"secret": former, "expires_at": None}])
    fresh = rotate_secret(endpoint, now, timedelta(hours=1))
    headers = signed_headers(DELIVERY, now, PAYLOAD, signing_secrets(endpoint.secrets, now))
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (former, fresh):
        Webhook(secret).verify(PAYLOAD, headers)
    assert signing_secrets(endpoint.secrets, now + timedelta(hours=1)) == (fresh,)


def test_rotating_twice_ends_the_oldest_secret():
    """Two sign, never three."""
    now = datetime.now(UTC)
    endpoint = WebhookEndpoint(secrets=[{"secret": new_secret(), "expires_at": None}])
    second = rotate_secret(endpoint, now, timedelta(hours=1))
    third = rotate_secret(endpoint, now, timedelta(hours=1))
    assert signing_secrets(endpoint.secrets, now) == (third, second)
