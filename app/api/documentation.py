"""GET /docs: the OpenAPI document as a page to try requests on, with a program that is part of this package.

Keys are typed into this page, so it loads nothing from elsewhere. `swagger_ui/README.md` says where the files are from.
"""

from enum import StrEnum
from html import escape
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse

DOCS = "/docs"
_FOLDER = Path(__file__).parent / "swagger_ui"
# Styles inline, because the program sets some. Requests go to this API only.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

router = APIRouter(include_in_schema=False)


class Asset(StrEnum):
    """The page's own files."""

    PROGRAM = "swagger-ui-bundle.js"
    STYLE = "swagger-ui.css"
    START = "start.js"


_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{title}}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{DOCS}/{Asset.STYLE}">
</head>
<body>
<div id="swagger-ui" data-openapi="{{openapi}}"></div>
<script src="{DOCS}/{Asset.PROGRAM}"></script>
<script src="{DOCS}/{Asset.START}"></script>
</body>
</html>
"""


@router.get(DOCS)
async def get_page(request: Request) -> HTMLResponse:
    """The page."""
    app = request.app
    return HTMLResponse(_PAGE.format(title=escape(app.title), openapi=escape(app.openapi_url)))


@router.get(f"{DOCS}/{{asset}}")
async def get_asset(asset: Asset) -> FileResponse:
    """A file of the page."""
    return FileResponse(_FOLDER / asset, headers={"Cache-Control": "no-cache"})
