"""The reference of `make bench-api`: the smallest FastAPI application that does comparable work.

`POST /upload` reads a form and decodes its image in a thread; `GET /answer/{id}` reads bytes from Redis. Both look the
key up as the service does. Nothing is validated, stored, limited or logged.
"""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, TypedDict, cast

from anyio import to_thread
from fastapi import Depends, FastAPI, File, Request, Response
from PIL import Image
from redis.asyncio import Redis

from app.access.identity import Identity
from app.access.keyring import Keyring
from app.db.database import Database, connect
from app.settings import load_settings


class BareState(TypedDict):
    """The resources of the process."""

    keyring: Keyring
    redis: Redis


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[BareState]:
    """Opens the resources."""
    settings = load_settings()
    database = Database(connect(settings.database))
    redis = Redis.from_url(settings.redis.url.get_secret_value())
    yield BareState(keyring=Keyring(database, settings.access, settings.database), redis=redis)
    await redis.aclose()
    database.close()


app = FastAPI(lifespan=lifespan)


async def get_caller(request: Request) -> Identity:
    """The owner of the key."""
    keyring = cast(Keyring, request.state.keyring)
    return await keyring.identify(request.headers.get("authorization"))


Caller = Annotated[Identity, Depends(get_caller)]


@app.post("/upload")
async def upload(caller: Caller, image: Annotated[bytes, File()]) -> dict[str, int]:
    """Reads and decodes an image."""
    return await to_thread.run_sync(_decode, image)


@app.get("/answer/{name}")
async def answer(name: str, caller: Caller, request: Request) -> Response:
    """Reads bytes from Redis."""
    found = await cast(Redis, request.state.redis).get(name)
    return Response(found, media_type="application/json")


def _decode(data: bytes) -> dict[str, int]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return {"width": image.width, "height": image.height}
