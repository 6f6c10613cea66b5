"""`python -m attribution COMMAND`: see `attribution/cli.py`."""

from attribution.cli import app

if __name__ == "__main__":
    app(prog_name="python -m attribution")
