"""Gemini in a Google Cloud project, with the token service for service accounts."""

import json
from base64 import urlsafe_b64decode
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from stub_vendors.vendor_stub import ErrorReply, StubResponse, VendorStub, bearer
from stub_vendors.vendors.gemini import error, errors_with, generate

PROJECT = "our-project"
_EMAIL = f"whodrew@{PROJECT}.iam.gserviceaccount.com"
_AUDIENCE = "https://oauth2.googleapis.com/token"  # regardless of the token service's address
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ERRORS = errors_with(ErrorReply(401, error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")))


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()
    exchanged = f"token-for-an-assertion-{stub.name}"

    @router.get("/service-account.json")
    def console(request: Request) -> dict[str, Any]:
        """A key file, as downloaded from the console."""
        pem = _private().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "1",
            "private_key": pem,
            "client_email": _EMAIL,
            "client_id": "1",
            "token_uri": f"{request.base_url}{stub.name}/token",
        }

    @router.post("/token")
    async def token(request: Request) -> dict[str, Any]:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        wrong = "invalid_request" if form.get("grant_type") != _GRANT else None
        if wrong or not _is_valid(form.get("assertion", "")):
            raise StubResponse(
                JSONResponse({"error": wrong or "invalid_grant", "error_description": "Invalid JWT."}, 400)
            )
        return {"access_token": exchanged, "expires_in": 3599, "token_type": "Bearer"}

    @router.post("/{version}/projects/{project}/locations/{location}/publishers/google/models/{called}")
    async def called(request: Request, version: str, project: str, called: str) -> dict[str, Any]:
        if version not in ("v1", "v1beta1") or project != PROJECT:
            denied = error(403, "PERMISSION_DENIED", "Permission 'aiplatform.endpoints.predict' denied.")
            raise StubResponse(JSONResponse(denied, 403))
        key = bearer(request)
        return await generate(stub, request, stub.key if key == exchanged else key, called)

    return router


@lru_cache(maxsize=1)
def _private() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65_537, key_size=2_048)


def _is_valid(assertion: str) -> bool:
    """Whether the assertion is signed with the account's key, and for Google's service."""
    try:
        head, claims, signature = assertion.split(".")
        _private().public_key().verify(_decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), SHA256())
        claim_set = json.loads(_decoded(claims))
    except (ValueError, InvalidSignature):
        return False
    return (
        claim_set.get("iss") == _EMAIL
        and claim_set.get("aud") == _AUDIENCE
        and _SCOPE in claim_set.get("scope", "").split()
        and 0 < claim_set.get("exp", 0) - claim_set.get("iat", 0) <= 3_600
    )


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
