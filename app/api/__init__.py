"""The HTTP service: POST an image, poll a ranking. Run as `uvicorn --factory app.api:create_app`."""

from app.api.application import create_app

__all__ = ["create_app"]
