"""`python -m stub_vendors --port 9900`: serves all vendors until it is stopped."""

import argparse

import uvicorn

from stub_vendors.application import make_application


def main() -> None:
    """Run the server."""
    parser = argparse.ArgumentParser("python -m stub_vendors", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9900)
    options = parser.parse_args()
    uvicorn.run(make_application(), host=options.host, port=options.port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main()
