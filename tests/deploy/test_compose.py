"""docker-compose.yml and .env.example: structure, references and secrets."""

from __future__ import annotations

import importlib.util
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.queue.steps import Role
from app.settings import Settings

REPOSITORY = Path(__file__).parents[2]
# Variables that others read: compose itself, the servers' images, and the hub's client.
NOT_SETTINGS = {
    "VENDOR_KEYS__OPENAI",  # any name in this group is one
    "VENDOR_KEYS__BFL",
    "API_ADDRESS",
    "API_PORT",
    "COMPOSE_PROFILES",
    "MODELS_MEM_LIMIT",
    "POSTGRES_IMAGE",
    "POSTGRES_PASSWORD_FILE",
    "PYTHON_IMAGE",
    "SERVICE_PASSWORD",
    "VALKEY_IMAGE",
    "GRAFANA_PASSWORD",
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
    "POSTGRES_DB",
    "POSTGRES_PASSWORD",
    "POSTGRES_USER",
    "REDISCLI_AUTH",
    "REDIS_PASSWORD",
}
# The keys that the compose specification knows for a service, as far as they are used or likely to be.
SERVICE_KEY = re.compile(
    r"build|cap_add|cap_drop|command|configs|container_name|depends_on|deploy|devices|entrypoint|env_file"
    r"|environment|expose|extra_hosts|healthcheck|hostname|image|init|labels|logging|mem_limit|networks|pids_limit"
    r"|ports|profiles|read_only|restart|secrets|security_opt|shm_size|stop_grace_period|stop_signal|sysctls"
    r"|tmpfs|ulimits|user|volumes|working_dir"
)
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}


def test_structure_is_that_of_the_specification(compose):
    """Top-level and service keys are ones that the compose specification knows, or extensions."""
    assert {key for key in compose if not key.startswith("x-")} <= {
        "name",
        "networks",
        "secrets",
        "services",
        "volumes",
    }
    for name, service in compose["services"].items():
        unknown = [key for key in service if not key.startswith("x-") and not SERVICE_KEY.fullmatch(key)]
        assert not unknown, f"{name}: {unknown}"
        assert re.fullmatch(r"no|always|unless-stopped|on-failure(:\d+)?", service["restart"])
        assert re.fullmatch(r"(\d+(h|m|s))+", service.get("stop_grace_period", "10s"))


def test_volumes_are_declared_and_used(compose):
    """Every named volume that a service mounts is declared, every declared one is mounted, and bound paths exist."""
    named = set()
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source, target, *_ = volume.split(":")
            assert target.startswith("/")
            if source.startswith("."):
                assert (REPOSITORY / source).exists()
            else:
                named.add(source)
    assert named == compose["volumes"].keys()


def test_api_and_workers_share_the_blobs(ours, dockerfile):
    """Every process that stores or reads images mounts the same volume where the images' setting points."""
    environment = dockerfile.last("worker-cpu", "ENV") or ""
    assert "HF_HOME=/var/lib/whodrew/hub" in environment
    assert "BLOBS__URL=file:///var/lib/whodrew/blobs" in " ".join(dockerfile.stages["base"].all("ENV"))
    for name in ours.keys() - {"migrate"}:
        assert "blobs:/var/lib/whodrew/blobs" in ours[name]["volumes"], name


def test_dependencies_can_be_met(compose, dockerfile):
    """Who waits for health waits for something that has a check; who waits for an end, for something that ends."""
    services = compose["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] in CONDITIONS, name
            if how["condition"] == "service_healthy":
                assert has_check(services[other], dockerfile), f"{name} waits for {other}"
            if how["condition"] == "service_completed_successfully":
                assert services[other]["restart"].startswith("on-failure")


def test_every_service_has_a_health_check_or_a_reason(compose, dockerfile):
    """A service is checked by itself or by its image; one that is not says why."""
    for name, service in compose["services"].items():
        assert has_check(service, dockerfile) != bool(service.get("x-no-healthcheck")), name


def has_check(service, dockerfile):
    """Whether compose or the image brings a health check."""
    if check := service.get("healthcheck"):
        return not check.get("disable")
    return "build" in service and dockerfile.last(service["build"]["target"], "HEALTHCHECK") not in (None, "NONE")


def test_images_are_pinned_or_built_here(compose, ours, dockerfile):
    """Images from elsewhere have a major version as tag; ours name a target that exists, one image per target."""
    for name, service in compose["services"].items():
        if name not in ours:
            assert re.fullmatch(r"\$\{\w+_IMAGE:-[\w./-]+:\d+(\.\d+)*\}", service["image"]), name
    images: dict[str, Any] = {}
    for service in ours.values():
        build = service["build"]
        assert build["args"].keys() == dockerfile.arguments.keys()
        assert all(f":-{default}}}" in build["args"][name] for name, default in dockerfile.arguments.items())
        assert (REPOSITORY / build["context"] / build["dockerfile"]).is_file()
        assert build["target"] in dockerfile.stages
        assert images.setdefault(service["image"], build["target"]) == build["target"]
    assert len(images) == len(set(images.values()))


def test_commands_name_modules_and_roles_that_exist(ours):
    """`python -m` finds its module, and its role exists, or it is beat."""
    for name, service in ours.items():
        argv = service.get("command")
        if argv is None:
            continue
        assert argv[:2] == ["python", "-m"], name
        assert importlib.util.find_spec(argv[2]) is not None
        assert set(argv[3:]) <= {*Role, "beat"}


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_each_profile_has_a_worker_for_every_role(ours, profile):
    """Whichever profile is chosen, every role and the clock run, and no role runs on both kinds of image."""
    running = [service for service in ours.values() if profile in service.get("profiles", [profile])]
    workers = [word for service in running for word in service.get("command", [])[3:]]
    assert sorted(workers) == sorted([*(role.value for role in Role), "beat"])


def test_model_roles_run_where_the_models_are(ours):
    """Roles that hold a model run on an image with torch; on the GPU's they ask for the device and say so."""
    for name, service in ours.items():
        heavy = set(service.get("command", [])[3:]) & {Role.CAPTION, Role.EMBED, Role.LOCAL}
        target = service["build"]["target"]
        assert bool(heavy) == (target in {"worker-cpu", "worker-gpu"}), name
        if target == "worker-gpu":
            (device,) = service["deploy"]["resources"]["reservations"]["devices"]
            assert device["capabilities"] == ["gpu"]
            assert service["environment"]["MODELS__DEVICE"] == "cuda"


def test_environment_is_made_of_settings(compose, env_example, variables):
    """Every variable in compose and .env.example is a setting, or one that is read by a program named here."""
    named = set(env_example) | {name for s in compose["services"].values() for name in s.get("environment", {})}
    text = (REPOSITORY / "docker-compose.yml").read_text()
    named |= set(re.findall(r"\$\{(\w+)", text))
    assert named - NOT_SETTINGS <= variables


def test_interpolated_variables_are_in_the_example(env_example):
    """.env.example has every variable that compose needs."""
    asked = set(re.findall(r"\$\{(\w+)", (REPOSITORY / "docker-compose.yml").read_text()))
    assert asked <= env_example.keys()


def test_no_secret_has_a_working_default(compose, env_example):
    """Passwords are empty in the example, and compose refuses to start without them."""
    text = (REPOSITORY / "docker-compose.yml").read_text()
    for name in ("POSTGRES_PASSWORD", "SERVICE_PASSWORD", "REDIS_PASSWORD"):
        assert env_example[name] == ""
        uses = re.findall(rf"\$\{{{name}([^}}]*)\}}", text)
        assert uses
        assert all(use.startswith(":?") for use in uses)
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if name.endswith("_FILE"):
                assert value.startswith("/run/secrets/"), name
            elif re.search("PASSWORD|AUTH|TOKEN|SECRET|URL", name):
                assert ":?" in value, name
    assert env_example["HF_TOKEN"] == ""


def test_secrets_stay_out_of_git_and_of_the_build():
    """Neither file of secrets is committed or sent to the builder."""
    assert {".env", ".env.vendors"} <= set((REPOSITORY / ".gitignore").read_text().splitlines())
    assert (REPOSITORY / ".dockerignore").read_text().splitlines()[1] == "*"


def test_the_example_shows_the_defaults(env_example, monkeypatch):
    """Where the example shows a setting's default, it is the default."""
    shown = {
        name: value
        for name, value in env_example.items()
        if name not in NOT_SETTINGS and name not in EXAMPLES and "__" in name
    }
    for name in list(shown):
        monkeypatch.setenv(name, shown[name])
    monkeypatch.setenv("DATABASE__URL", env_example["DATABASE__URL"])
    monkeypatch.setenv("REDIS__URL", env_example["REDIS__URL"])
    settings = Settings()
    for name in shown:
        group, field = name.lower().split("__")
        found = getattr(getattr(settings, group), field)
        default = type(getattr(settings, group)).model_fields[field].default
        assert found == default, name
        assert isinstance(found, timedelta) or str(found)


# Lines that show another value than the default, because that is what one would change them to.
EXAMPLES = {
    "BLOBS__URL",
    "DATABASE__URL",
    "METRICS__TOKEN",
    "MODELS__CAPTIONER",
    "MODELS__CAPTIONERS",
    "MODELS__DTYPE",
    "MODELS__EMBEDDER",
    "MODELS__EMBEDDERS",
    "REDIS__URL",
    "SCREENING__HOOKS",
    "TRACING__ENDPOINT",
}


def test_examples_that_differ_are_settings_that_parse(env_example, monkeypatch):
    """The lines that show something other than a default are values that the settings take."""
    for name in EXAMPLES:
        monkeypatch.setenv(name, env_example[name])
    assert Settings().screening.hooks == ("yourpackage.screening:hook",)


def test_no_database_or_broker_is_published(compose):
    """Only the API has a port outside, and on loopback by default."""
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert ports == {"api": ["${API_ADDRESS:-127.0.0.1}:${API_PORT:-8000}:8000"]}


def test_containers_are_confined(compose):
    """No capability that is not needed, nothing to write but volumes, and limits on memory and processes."""
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert set(service.get("cap_add", ())) <= {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}, name
        assert bool(service.get("cap_add")) == (name in ("db", "redis")), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
    for name in ("api", "light", "remote", "caption", "embed", "local"):  # they decode and spool in /tmp
        service = compose["services"][name]
        assert any(entry.split(":")[-1 if name == "api" else 0] == "/tmp" for entry in service.get("tmpfs", []) + [
            volume for volume in service["volumes"] if volume.startswith("spool")
        ]), name  # fmt: skip


def test_servers_cannot_be_reached_from_outside_and_reach_nothing(compose):
    """They are in the internal network alone; what needs no way out has none."""
    assert compose["networks"]["data"] == {"internal": True}
    inside = {name for name, service in compose["services"].items() if service["networks"] == ["data"]}
    assert inside == {"db", "redis", "migrate", "beat"}
    assert all(set(service["networks"]) <= {"data", "egress"} for service in compose["services"].values())


def test_only_who_calls_vendors_has_their_keys(compose):
    """Sources of third parties and captioners; keys are in no other process's environment."""
    with_keys = {
        name
        for name, service in compose["services"].items()
        if ".env.vendors" in {each["path"] for each in service.get("env_file", ())}
    }
    assert with_keys == {"remote", "caption", "caption-gpu"}


def test_only_the_migration_is_the_owner_of_the_tables(compose, ours):
    """All other processes connect as a role that cannot change the audit log, which the migration grants its rights."""
    for name, service in ours.items():
        user = re.match(r"postgresql://(\w+):", service["environment"]["DATABASE__URL"])
        assert user is not None
        assert user[1] == ("whodrew" if name == "migrate" else "whodrew_service"), name
    assert compose["services"]["migrate"]["environment"]["DATABASE__APPLICATION_ROLE"] == "whodrew_service"


def test_no_password_is_an_argument(compose):
    """Neither of a command nor of a health check: lists of processes show those."""
    for name, service in compose["services"].items():
        words = [
            *service.get("command", ()),
            *service.get("entrypoint", ()),
            *service.get("healthcheck", {}).get("test", ()),
        ]
        assert not any("PASSWORD" in word for word in words), name


def test_the_broker_keeps_its_messages(compose):
    """Redis appends to disk, evicts nothing, and refuses before its container runs out of memory."""
    command = " ".join(compose["services"]["redis"]["command"])
    assert "--maxmemory 512mb" in command
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_connections_fit(compose, ours):
    """Postgres allows as many connections as all our processes together may open."""
    from app.settings import DatabaseSettings

    settings = DatabaseSettings(url="postgresql://user@localhost/none")
    running = [service for service in ours.values() if "gpu" not in service.get("profiles", [])]
    found = re.search(r"max_connections=(\d+)", " ".join(compose["services"]["db"]["command"]))
    assert found is not None
    allowed = int(found[1])
    assert len(running) * (settings.pool_size + settings.max_overflow) <= allowed
