"""The HTTP service: POST an image, poll a ranking. Run as docs/deployment.md says, under `LimitedProtocol`."""

from app.api.application import create_app

__all__ = ["create_app"]
