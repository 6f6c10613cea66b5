"""All stub vendors as one ASGI application, each below a path of its own name: /openai/v1 is OpenAI's base URL."""

from importlib import import_module
from pkgutil import iter_modules

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from stub_vendors import vendors
from stub_vendors.control import control
from stub_vendors.vendor_stub import StubResponse, VendorStub

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
