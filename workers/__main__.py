"""`python -m workers`. Nothing is imported up here: anyio runs this file in every decoding child, too."""

if __name__ == "__main__":
    import sys

    if sys.argv[1:2] == ["bank"]:
        from workers.bank_cli import app as bank_app

        bank_app(sys.argv[2:], prog_name="python -m workers bank")
    else:
        import os

        # Read when NumPy is imported. Its matrix products here are small: more threads would only wait for each other
        # and for those of MODELS__THREADS.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

        from workers.command import app

        app(prog_name="python -m workers")
