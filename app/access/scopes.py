"""The scopes of API keys."""

from enum import StrEnum


class Scope(StrEnum):
    """A permission; a key has a set of them, and none implies another."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"
