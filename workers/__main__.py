"""`python -m workers`. Nothing is imported up here: anyio runs this file in every decoding child, too."""

if __name__ == "__main__":
    from workers.command import app

    app(prog_name="python -m workers")
