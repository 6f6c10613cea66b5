"""`python -m workers`. Nothing is imported up here: anyio runs this file in every decoding child, too."""

if __name__ == "__main__":
    import sys

    from workers.command import main

    main(sys.argv[1:])
