"""`python -m stub_vendors --port 9900`: serves all vendors until it is stopped."""

import typer
import uvicorn

from stub_vendors.server import make_application


def main(host: str = "127.0.0.1", port: int = 9900) -> None:
    """Serve all vendors until stopped."""
    uvicorn.run(make_application(), host=host, port=port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    typer.run(main)
