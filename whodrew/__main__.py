"""`python -m whodrew`: the same as the command `whodrew`."""

import sys

from whodrew.cli import main

if __name__ == "__main__":
    sys.exit(main())
