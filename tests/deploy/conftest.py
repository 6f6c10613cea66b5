"""The deployment files as plain data: there is no container engine here, so what they say is checked, not run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from app.settings import Settings

REPOSITORY = Path(__file__).parents[2]


@dataclass
class Stage:
    """One stage of the Dockerfile: what it starts from, and its instructions as (word, rest)."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        """The rest of every instruction of that word."""
        return [rest for found, rest in self.instructions if found == word]


@dataclass
class Dockerfile:
    """All stages by name, and the arguments before the first of them."""

    stages: dict[str, Stage]
    arguments: dict[str, str]

    def lineage(self, name: str) -> Iterator[Stage]:
        """A stage and those it starts from, itself first."""
        while name in self.stages:
            yield self.stages[name]
            name = self.stages[name].base

    def last(self, name: str, word: str) -> str | None:
        """The instruction of that word which holds in the finished stage."""
        return next((found[-1] for stage in self.lineage(name) if (found := stage.all(word))), None)

    def contents(self, name: str) -> set[str]:
        """What the finished stage copies from the build context."""
        return {source for stage in self.lineage(name) for source in copied(stage)}


def copied(stage: Stage) -> list[str]:
    """The sources in the build context of a stage's COPY instructions."""
    return [
        word
        for rest in stage.all("COPY")
        if "--from=" not in rest
        for word in [part for part in rest.split() if not part.startswith("--")][:-1]
    ]


def parse(text: str) -> Dockerfile:
    """The instructions, with continued lines joined and comments dropped."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    stages: dict[str, Stage] = {}
    arguments: dict[str, str] = {}
    stage: Stage | None = None
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stage = stages[name] = Stage(name, base)
        elif stage is None:
            name, _, value = rest.partition("=")
            arguments[name] = value
        else:
            stage.instructions.append((word, " ".join(rest.split())))
    return Dockerfile(stages, arguments)


@pytest.fixture(scope="session")
def dockerfile() -> Dockerfile:
    """docker/Dockerfile."""
    return parse((REPOSITORY / "docker" / "Dockerfile").read_text())


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """docker-compose.yml, with its anchors resolved."""
    document: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    return document


@pytest.fixture(scope="session")
def ours(compose: dict[str, Any]) -> dict[str, Any]:
    """The services that run images built here."""
    return {name: service for name, service in compose["services"].items() if "build" in service}


@pytest.fixture(scope="session")
def env_example() -> dict[str, str]:
    """Every variable of .env.example, those in comments included."""
    found: dict[str, str] = {}
    for line in (REPOSITORY / ".env.example").read_text().splitlines():
        if match := re.fullmatch(r"#?([A-Z][A-Z0-9_]*)=(.*)", line):
            assert match[1] not in found, f"{match[1]} twice"
            found[match[1]] = "".join(shlex.split(match[2]))
    return found


@pytest.fixture(scope="session")
def variables() -> set[str]:
    """The environment variable of every setting."""
    names = set()
    for group, group_field in Settings.model_fields.items():
        kind = group_field.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        names |= {f"{group}__{name}".upper() for name in kind.model_fields}
    return names
