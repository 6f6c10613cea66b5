"""docker/Dockerfile: what can be known about the images without building them."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TARGETS = {"api", "migrate", "worker-light", "worker-embed", "worker-cpu", "worker-gpu"}
WITHOUT_TORCH = {"api", "migrate", "worker-light", "worker-embed"}
ML_WHEELS = {"accelerate", "torch", "torchvision", "transformers", "diffusers", "open_clip", "safetensors"}


def test_targets_exist_and_start_from_stages_or_a_pinned_image(dockerfile):
    """Every stage starts from an earlier one, and the first from an image whose tag names a patch release."""
    assert dockerfile.stages.keys() >= TARGETS
    seen: set[str] = set()
    for name, stage in dockerfile.stages.items():
        base = stage.base.replace("${PYTHON_IMAGE}", dockerfile.arguments["PYTHON_IMAGE"])
        assert base in seen or re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)
        seen.add(name)


def test_the_base_image_is_new_enough_for_the_project(dockerfile):
    """The images' Python is one that pyproject.toml allows."""
    required = re.search(r'requires-python = ">=3\.(\d+)"', (REPOSITORY / "pyproject.toml").read_text())
    minor = re.match(r"python:3\.(\d+)\.", dockerfile.arguments["PYTHON_IMAGE"])
    assert required
    assert minor
    assert int(minor[1]) >= int(required[1])


def test_copied_paths_exist_and_reach_the_build(dockerfile):
    """What a COPY names is in the repository, and .dockerignore lets it through."""
    allowed = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name in dockerfile.stages:
        for source in dockerfile.contents(name):
            assert "*" in source or (REPOSITORY / source).exists(), source
            assert any(source == path or source.startswith(f"{path}/") for path in allowed), source


def test_copies_between_stages_name_earlier_stages(dockerfile):
    """COPY --from refers to a stage that was defined before."""
    seen: set[str] = set()
    for name, stage in dockerfile.stages.items():
        froms = re.findall(r"--from=(\S+)", " ".join(stage.all("COPY")))
        assert set(froms) <= seen
        seen.add(name)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_images_do_not_run_as_root(dockerfile, target):
    """Each image ends with the service's own user, by number, so that an orchestrator can check that it is not root."""
    assert "--uid 10001" in " ".join(dockerfile.stages["base"].all("RUN"))
    assert dockerfile.last(target, "USER") == "10001:10001"


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_the_ml_wheels_are_only_where_models_run(dockerfile, target):
    """The environment of a target without torch comes from the stage that never installs the ml extra."""
    (origin,) = re.findall(r"--from=(\S+)", " ".join(dockerfile.stages[target].all("COPY")))
    installs = [run for stage in dockerfile.lineage(origin) for run in stage.all("RUN") if "requirements.py" in run]
    assert installs
    assert any("requirements.py ml" in run for run in installs) == (target not in WITHOUT_TORCH)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_only_wheels_are_installed(dockerfile, target):
    """The base image has no compiler: each environment is installed where pip takes wheels alone."""
    (origin,) = re.findall(r"--from=(\S+)", " ".join(dockerfile.stages[target].all("COPY")))
    assert dockerfile.last(origin, "ENV") == "PIP_ONLY_BINARY=:all:"


@pytest.mark.parametrize("target", ["api", "worker-light", "worker-embed"])
def test_the_build_proves_that_torch_is_absent(dockerfile, target):
    """The images that should be small fail to build when torch can be imported in them."""
    assert any("import torch" in run and "exit 1" in run for run in dockerfile.stages[target].all("RUN"))


@pytest.mark.parametrize("module", ["app.api", "workers.tasks", "docker.worker_health"])
def test_small_images_import_what_they_run_without_ml_wheels(module):
    """The modules behind the small images import where torch and its kin do not exist."""
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ML_WHEELS}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import {module}
"""
    environment = {"DATABASE__URL": "postgresql://user@localhost/none", "REDIS__URL": "redis://localhost/0"}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=REPOSITORY, check=True)


def test_ranking_finds_its_thresholds_in_the_light_image(dockerfile):
    """The light role ranks, so its image carries the calibrations that the settings name by default."""
    from app.settings import ModelSettings

    for path in ModelSettings().calibrations:
        assert str(path) in dockerfile.contents("worker-light")


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_commands_name_modules_and_files_that_exist(dockerfile, target):
    """Commands and health checks are in exec form, and their modules can be found."""
    health = dockerfile.last(target, "HEALTHCHECK")
    commands = [dockerfile.last(target, "CMD")]
    if health != "NONE":
        commands.append(health.partition("CMD ")[2])
    for command in commands:
        argv = json.loads(command)
        assert argv[0] == "python"
        assert argv[1] == "-c" or importlib.util.find_spec(argv[2]) is not None, argv
        assert all((REPOSITORY / word).exists() for word in argv if word.endswith(".ini"))


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_environment_is_made_of_settings(dockerfile, variables, target):
    """Variables with two underscores that an image sets are settings."""
    words = " ".join(rest for stage in dockerfile.lineage(target) for rest in stage.all("ENV")).split()
    assert {name for word in words if "__" in (name := word.partition("=")[0])} <= variables


def test_requirements_are_those_of_the_project():
    """The list that the images install is pyproject's: base dependencies alone, or with an extra's."""

    def listed(*extras: str) -> list[str]:
        command = [sys.executable, "docker/requirements.py", *extras]
        return subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.splitlines()

    base, ml = listed(), listed("ml")
    assert any(line.startswith("fastapi") for line in base)
    assert not any(line.startswith("torch") for line in base)
    assert ml[: len(base)] == base
    assert any(line.startswith("torch==") for line in ml)
