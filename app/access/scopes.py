"""What a key may be good for."""

from enum import StrEnum


class Scope(StrEnum):
    """One thing that a key may do; a key has a set of them."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"
