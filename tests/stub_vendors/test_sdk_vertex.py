"""Google's own client and its own way of trading a service account for a token, against the stub of Vertex."""

from io import BytesIO

import httpx
import pytest
from google import genai
from google.genai import errors, types
from google.oauth2 import service_account
from google.oauth2.credentials import Credentials
from PIL import Image

from stub_vendors import Stub

MODEL = "gemini-3.1-flash-image"


def client_of(stub: Stub, credentials: Credentials | service_account.Credentials) -> genai.Client:
    """The client with the stub as its base URL."""
    options = types.HttpOptions(base_url=stub.base_url("vertex"), api_version="v1")
    return genai.Client(
        vertexai=True, project="our-project", location="us-central1", credentials=credentials, http_options=options
    )


def test_a_service_account_generates(stub: Stub) -> None:
    """The assertion is Google's own, so the stub's check of it is not one mind's guess."""
    info = httpx.get(stub.base_url("vertex", "/service-account.json")).json()
    credentials = service_account.Credentials.from_service_account_info(
        info, scopes=["https://www.googleapis.com/auth/cloud-platform"]
    )
    client = client_of(stub, credentials)
    response = client.models.generate_content(
        model=MODEL, contents="a hat", config=types.GenerateContentConfig(response_modalities=["IMAGE"], seed=7)
    )
    client.close()
    assert response.candidates
    content = response.candidates[0].content
    assert content is not None
    assert content.parts
    assert content.parts[0].inline_data is not None
    assert Image.open(BytesIO(content.parts[0].inline_data.data or b"")).size == (128, 128)
    assert stub.billed()["vertex"] == 1


def test_a_wrong_token(stub: Stub) -> None:
    """An invalid parameter is refused, as by the vendor."""
    client = client_of(stub, Credentials(token="another"))
    with pytest.raises(errors.ClientError) as raised:
        client.models.generate_content(model=MODEL, contents="a hat")
    client.close()
    assert (raised.value.code, raised.value.status) == (401, "UNAUTHENTICATED")
