"""The yardstick of `make bench-api`: what FastAPI costs that does the least which could be called the same.

`POST /upload` reads a form and decodes its image in a thread; `GET /answer/{id}` gets bytes from Redis for who has a
key. The key is looked up as the service does it. Nothing is checked, stored, limited or logged.
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
    """What lasts as long as the process."""

    keyring: Keyring
    redis: Redis


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[BareState]:
    """Opens what requests use."""
    settings = load_settings()
    database = Database(connect(settings.database))
    redis = Redis.from_url(settings.redis.url.get_secret_value())
    yield BareState(keyring=Keyring(database, settings.access, settings.database), redis=redis)
    await redis.aclose()
    database.close()


app = FastAPI(lifespan=lifespan)


async def get_caller(request: Request) -> Identity:
    """Who has the key."""
    keyring = cast(Keyring, request.state.keyring)
    return await keyring.identify(request.headers.get("authorization"))


Caller = Annotated[Identity, Depends(get_caller)]


@app.post("/upload")
async def upload(caller: Caller, image: Annotated[bytes, File()]) -> dict[str, int]:
    """Reads and decodes."""
    return await to_thread.run_sync(_decode, image)


@app.get("/answer/{name}")
async def answer(name: str, caller: Caller, request: Request) -> Response:
    """Gets."""
    found = await cast(Redis, request.state.redis).get(name)
    return Response(found, media_type="application/json")


def _decode(data: bytes) -> dict[str, int]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return {"width": image.width, "height": image.height}
