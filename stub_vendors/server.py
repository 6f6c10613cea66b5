"""The application with all vendors, its own endpoints below /_stub, and a server that runs it in a thread."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import httpx
import uvicorn
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response

from stub_vendors import vendors
from stub_vendors.scenario import Behavior
from stub_vendors.vendor_stub import StubResponse, VendorStub

WINDOW_SECONDS = 60.0


def control(stubs: Mapping[str, VendorStub]) -> APIRouter:
    """The routes, and a last one for all other paths."""
    router = APIRouter()
    unknown: list[dict[str, str]] = []

    def stub_of(vendor: str) -> VendorStub:
        if vendor not in stubs:
            raise HTTPException(404, f"There are {', '.join(stubs)}.")
        return stubs[vendor]

    @router.get("/_stub/billed")
    def billed() -> dict[str, Any]:
        each = {name: stub.ledger.billed for name, stub in stubs.items()}
        return {"total": sum(each.values()), "vendors": each}

    @router.get("/_stub/counts")
    def counts(window: float = WINDOW_SECONDS) -> dict[str, Any]:
        return {name: stub.ledger.document(window) for name, stub in stubs.items()}

    @router.post("/_stub/reset", status_code=204)
    def reset() -> None:
        for stub in stubs.values():
            stub.reset()
        unknown.clear()

    @router.get("/_stub/unknown-requests")
    def unknown_requests() -> list[dict[str, str]]:
        return unknown

    @router.put("/_stub/vendors")
    def behave_all(behavior: Behavior) -> Behavior:
        for stub in stubs.values():
            stub.behave(behavior)
        return behavior

    @router.put("/_stub/vendors/{vendor}")
    def behave(vendor: str, behavior: Behavior) -> Behavior:
        stub_of(vendor).behave(behavior)
        return behavior

    @router.get("/_stub/vendors/{vendor}")
    def behavior_of(vendor: str) -> Behavior:
        return stub_of(vendor).behavior

    @router.api_route("/{path:path}", methods=["GET", "POST", "PUT", "DELETE"])
    def other(request: Request, path: str) -> Response:
        """A path of no vendor: the request is recorded with its headers."""
        unknown.append({"path": f"/{path}", **request.headers})
        return Response("There is nothing here.", 404)

    return router


NAMES = tuple(sorted(module.name for module in iter_modules(vendors.__path__)))


def make_application() -> FastAPI:
    """A new application with its own state."""
    application = FastAPI(openapi_url=None)
    application.add_exception_handler(StubResponse, _respond)
    stubs: dict[str, VendorStub] = {}
    for name in NAMES:
        module = import_module(f"{vendors.__name__}.{name}")
        stubs[name] = VendorStub(name, module.ERRORS)
        application.include_router(module.routes(stubs[name]), prefix=f"/{name}")
    application.include_router(control(stubs))
    return application


async def _respond(request: Request, error: Exception) -> Response:
    assert isinstance(error, StubResponse)
    return error.response


@dataclass(frozen=True, slots=True)
class Stub:
    """A running server; the methods call its `/_stub` endpoints."""

    url: str
    http: httpx.Client

    def base_url(self, vendor: str, path: str = "") -> str:
        """A vendor's base URL."""
        return f"{self.url}/{vendor}{path}"

    def behave(self, vendor: str | None = None, **behavior: Any) -> None:
        """Set the behavior of one vendor, or of all: see `Behavior`."""
        path = "/_stub/vendors" if vendor is None else f"/_stub/vendors/{vendor}"
        self.http.put(path, json=behavior).raise_for_status()

    def counts(self, vendor: str, window: float = 60.0) -> dict[str, Any]:
        """The counts of a vendor."""
        document: dict[str, Any] = self.http.get("/_stub/counts", params={"window": window}).json()[vendor]
        return document

    def billed(self) -> dict[str, int]:
        """Billed images by vendor."""
        each: dict[str, int] = self.http.get("/_stub/billed").json()["vendors"]
        return each

    def unknown_requests(self) -> list[dict[str, str]]:
        """Path and headers of requests for paths of no vendor."""
        found: list[dict[str, str]] = self.http.get("/_stub/unknown-requests").json()
        return found

    def reset(self) -> None:
        """Clear all counts."""
        self.http.post("/_stub/reset").raise_for_status()


@contextmanager
def serve(host: str = "127.0.0.1") -> Iterator[Stub]:
    """A server on a free port."""
    with socket.create_server((host, 0)) as listening:
        config = uvicorn.Config(make_application(), log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="stub vendors")
        thread.start()
        url = f"http://{host}:{listening.getsockname()[1]}"
        try:
            with httpx.Client(base_url=url, trust_env=False) as http:
                yield Stub(url, http)
        finally:
            server.should_exit = True
            thread.join()
