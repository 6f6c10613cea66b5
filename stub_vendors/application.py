"""All stub vendors as one ASGI application, each below a path of its own name: /openai/v1 is OpenAI's base URL."""

from importlib import import_module
from pkgutil import iter_modules

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from stub_vendors import vendors
from stub_vendors.control import control
from stub_vendors.desk import Desk, StubResponse

NAMES = tuple(sorted(module.name for module in iter_modules(vendors.__path__)))


def make_application() -> FastAPI:
    """A new one, which knows nothing of others in the same process."""
    application = FastAPI(openapi_url=None)
    application.add_exception_handler(StubResponse, _answer)
    desks: dict[str, Desk] = {}
    for name in NAMES:
        module = import_module(f"{vendors.__name__}.{name}")
        desks[name] = Desk(name, module.SAYS)
        application.include_router(module.routes(desks[name]), prefix=f"/{name}")
    application.include_router(control(desks))
    return application


async def _answer(request: Request, said: Exception) -> Response:
    assert isinstance(said, StubResponse)
    return said.response
