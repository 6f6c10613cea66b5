"""The Helm chart without a cluster: rendered, it is what Kubernetes, KEDA and Prometheus' operator accept, and agrees
with the code.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

import app
from app.queue.steps import Role, queue_of
from app.settings import JobSettings, ScreeningSettings, parse_duration
from attribution.catalog import load_catalog
from tests.conftest import HELM
from workers.roles import queues_of

pytestmark = pytest.mark.chart
REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "deploy" / "helm" / "whodrew"
EXAMPLES = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))
MODELS = {
    "keda.sh/v1alpha1": "cloudcoil.models.keda.v1alpha1",
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
}
Document = dict[str, Any]


def helm(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs helm with a home of no user's, so that no plugin and no repository takes part."""
    command = [str(HELM), *arguments]
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=check)


@lru_cache
def rendered(example: str, *settings: str) -> tuple[Document, ...]:
    """The documents of an example's values."""
    sets = [word for each in settings for word in ("--set-json", each)]
    text = helm("template", "rel", str(CHART), "--values", str(CHART / "ci" / f"{example}.yaml"), *sets).stdout
    return tuple(each for each in yaml.safe_load_all(text) if each)


def of_kind(documents: tuple[Document, ...], *kinds: str) -> dict[str, Document]:
    """Documents of these kinds by name."""
    return {each["metadata"]["name"]: each for each in documents if each["kind"] in kinds}


def pods(documents: tuple[Document, ...]) -> dict[str, Document]:
    """Pod templates by the name of what makes them."""
    return {name: each["spec"]["template"] for name, each in of_kind(documents, "Deployment", "Job").items()}


def containers(pod: Document) -> list[Document]:
    """All containers of a pod template."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def refusal(*settings: str) -> str:
    """What helm says of an example with values that are wrong."""
    sets = [word for each in settings for word in ("--set-json", each)]
    values = str(CHART / "ci" / "demo-values.yaml")
    found = helm("template", "rel", str(CHART), "--values", values, *sets, check=False)
    assert found.returncode != 0
    return found.stderr


@pytest.mark.parametrize("example", EXAMPLES)
def test_lint_finds_nothing(example: str) -> None:
    """`helm lint --strict` accepts the chart with each example's values."""
    found = helm("lint", "--strict", str(CHART), "--values", str(CHART / "ci" / f"{example}.yaml"), check=False)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_object_is_valid(example: str) -> None:
    """Each object has a schema, meets it, and has no key that the schema does not know."""
    import kubernetes_validate

    for document in rendered(example):
        if (module := MODELS.get(document["apiVersion"])) is None:
            kubernetes_validate.validate(document, "1.37", strict=True)  # raises where it does not know the kind
            continue
        model = getattr(import_module(module), document["kind"])
        read = model.model_validate(document).model_dump(mode="json", by_alias=True, exclude_unset=True)
        # The models ignore keys that they do not know: such a key is missing in what was read.
        assert read == document, document["metadata"]["name"]


def test_a_wrong_key_is_noticed() -> None:
    """The comparison with KEDA's models finds a misspelt key, and Kubernetes' schemas a kind that is not theirs."""
    import kubernetes_validate

    document = next(iter(of_kind(rendered("fleet-values"), "ScaledObject").values()))
    model = import_module(MODELS["keda.sh/v1alpha1"]).ScaledObject
    wrong = document | {"spec": document["spec"] | {"minReplicas": 1}}
    assert model.model_validate(wrong).model_dump(mode="json", by_alias=True, exclude_unset=True) != wrong
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        kubernetes_validate.validate(document, "1.37", strict=True)


@pytest.mark.parametrize("example", EXAMPLES)
def test_pods_are_confined(example: str) -> None:
    """No root, no capabilities, no writable root, no cluster token; and limits for every container."""
    for name, pod in pods(rendered(example)).items():
        spec, security = pod["spec"], pod["spec"]["securityContext"]
        assert spec["automountServiceAccountToken"] is False, name
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == security["runAsGroup"] == 10001
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}


@pytest.mark.parametrize("example", EXAMPLES)
def test_no_secret_is_a_value(example: str) -> None:
    """Secrets of ours are files; only the object store's and the hub's own clients read theirs from the environment."""
    documents = rendered(example)
    assert not of_kind(documents, "Secret")
    for pod in pods(documents).values():
        for container in containers(pod):
            assert not [each for each in container.get("env", []) if "secretKeyRef" in each.get("valueFrom", {})]
            named = {each["secretRef"]["name"] for each in container.get("envFrom", []) if "secretRef" in each}
            assert named <= {"whodrew-blobs", "whodrew-hub"}


@pytest.mark.parametrize("example", EXAMPLES)
def test_settings_exist(example: str, variables: set[str]) -> None:
    """Every GROUP__NAME of a pod, and of what its environment is taken from, is a setting."""
    documents = rendered(example)
    config = set(of_kind(documents, "ConfigMap")["rel-whodrew"]["data"])
    for pod in pods(documents).values():
        for container in containers(pod):
            config |= {each["name"] for each in container.get("env", [])}
    ours = {name.removesuffix("_FILE") for name in config if "__" in name}
    assert {name for name in ours if not name.startswith("VENDOR_KEYS__")} <= variables


@pytest.mark.parametrize("example", EXAMPLES)
def test_images_and_commands_exist(example: str, dockerfile) -> None:
    """Every image is a target of the Dockerfile, and every command a role, or beat, or the image's own."""
    for name, pod in pods(rendered(example)).items():
        for container in containers(pod):
            image = container["image"].rpartition("/")[2].partition("@")[0].partition(":")[0]
            assert image.removeprefix("whodrew-") in dockerfile.stages, name
            arguments = container.get("args", [])
            if arguments[:2] == ["python", "-m"]:
                assert importlib.util.find_spec(arguments[2])
                assert arguments[3] in {*Role, "beat"}
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert version["version"] == version["appVersion"] == app.__version__


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_role_has_workers(example: str) -> None:
    """Each role and beat have a Deployment, and beat is never there twice."""
    deployments = of_kind(rendered(example), "Deployment")
    roles = {
        each["spec"]["template"]["spec"]["containers"][0].get("args", ["api"])[-1] for each in deployments.values()
    }
    assert roles == {*Role, "beat", "api"}
    beat = deployments["rel-whodrew-beat"]["spec"]
    assert beat["replicas"] == 1
    assert beat["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("example", EXAMPLES)
def test_groups_serve_sources_of_the_catalog(example: str) -> None:
    """What a group serves are local sources that exist, and its worker has their ids."""
    local = {source.id for source in load_catalog([REPOSITORY / "sources"]).sources if source.is_local}
    for name, pod in pods(rendered(example)).items():
        container = pod["spec"]["containers"][0]
        values = [each["value"] for each in container.get("env", []) if each["name"] == "MODELS__SOURCES"]
        assert len(values) == ("-local-" in name)
        assert all(set(json.loads(value)) <= local for value in values)


@pytest.mark.parametrize("example", EXAMPLES)
def test_selectors_find_pods(example: str) -> None:
    """Services, budgets, policies and scaled objects name pods and Deployments that exist."""
    documents = rendered(example)
    labels = [pod["metadata"]["labels"].items() for pod in pods(documents).values()]
    for name, each in of_kind(documents, "Service", "PodDisruptionBudget", "NetworkPolicy").items():
        selector = each["spec"].get("selector") or each["spec"]["podSelector"]
        wanted = selector.get("matchLabels", selector).items()
        assert any(wanted <= found for found in labels), name
    for each in of_kind(documents, "ScaledObject", "HorizontalPodAutoscaler").values():
        target = of_kind(documents, "Deployment")[each["spec"]["scaleTargetRef"]["name"]]
        assert "replicas" not in target["spec"], "an upgrade would reset what the autoscaler decided"


@pytest.mark.parametrize("example", EXAMPLES)
def test_grace_is_longer_than_the_release_of_leases(example: str) -> None:
    """A worker is killed only after it has released its steps."""
    for name, pod in pods(rendered(example)).items():
        variables = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0].get("env", [])}
        if "workers" in pod["spec"]["containers"][0].get("args", []) and not name.endswith("-beat"):
            release = parse_duration(variables["JOB__RELEASE_AFTER"])
            assert pod["spec"]["terminationGracePeriodSeconds"] >= release.total_seconds() + 10
    assert (
        JobSettings().release_after.total_seconds()
        == yaml.safe_load((CHART / "values.yaml").read_text())["releaseAfterSeconds"]
    )


def test_the_migration_needs_nothing_of_the_chart() -> None:
    """It runs before anything is installed, as the owner of the tables."""
    job = of_kind(rendered("fleet-values"), "Job")["rel-whodrew-migrate"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    spec = job["spec"]["template"]["spec"]
    assert "serviceAccountName" not in spec
    assert "envFrom" not in spec["containers"][0]
    assert "owner-database-url" in json.dumps(spec["containers"][0]["env"])


def test_weights_are_written_by_the_job_alone() -> None:
    """The claim is mounted read-only by all pods but the one that downloads; workers wait for it, offline."""
    documents = rendered("fleet-values")
    for name, pod in pods(documents).items():
        mounts = [each for c in containers(pod) for each in c["volumeMounts"] if each["name"] == "weights"]
        assert all(each.get("readOnly", False) != ("-weights-" in name) for each in mounts)
        assert bool(mounts) == any(word in name for word in ("-weights-", "-local-", "-caption", "-embed"))
    assert of_kind(documents, "ConfigMap")["rel-whodrew"]["data"]["HF_HUB_OFFLINE"] == "1"


def test_vendor_keys_are_where_vendors_are_called() -> None:
    """Only workers that call vendors have their keys, and may open connections to public addresses."""
    documents = rendered("fleet-values")
    having = {name for name, pod in pods(documents).items() if "whodrew-vendors" in json.dumps(pod)}
    assert having == {"rel-whodrew-remote", "rel-whodrew-caption"}
    policy = of_kind(documents, "NetworkPolicy")["rel-whodrew-internet"]["spec"]["podSelector"]
    assert set(policy["matchExpressions"][0]["values"]) == {"light", "remote", "caption", "weights"}


def test_nothing_is_allowed_that_is_not_named() -> None:
    """One policy denies everything to all pods; private addresses are excluded from the internet."""
    policies = of_kind(rendered("fleet-values"), "NetworkPolicy")
    denied = policies["rel-whodrew-deny"]["spec"]
    assert denied["policyTypes"] == ["Ingress", "Egress"]
    assert not denied.keys() & {"ingress", "egress"}
    block = policies["rel-whodrew-internet"]["spec"]["egress"][0]["to"][0]["ipBlock"]
    assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(block["except"])


@pytest.mark.parametrize("endpoint", ["", "https://moderation.example/check"])
def test_every_queue_is_counted_for_its_workers(endpoint: str) -> None:
    """The queues by which a role is scaled are those that it consumes, but the sweep's."""
    screening = ScreeningSettings(endpoint=endpoint or None)
    objects = of_kind(rendered("fleet-values", f"config.SCREENING__ENDPOINT={json.dumps(endpoint)}"), "ScaledObject")
    sources = load_catalog([REPOSITORY / "sources"])
    for role in (Role.LIGHT, Role.REMOTE, Role.CAPTION, Role.EMBED):
        wanted = set(queues_of([role], (), screening)) - {"sweep"}
        assert queues_in(objects[f"rel-whodrew-{role}"]) == wanted
    assert queues_in(objects["rel-whodrew-local-rare"]) == {
        queue_of(sources.get(name)) for name in ("kandinsky-2-2", "pixart-sigma", "sd-1-5")
    }
    assert objects["rel-whodrew-local-flux"]["spec"]["minReplicaCount"] == 0


def queues_in(scaled: Document) -> set[str]:
    """The queues in the query of a ScaledObject."""
    listed = scaled["spec"]["triggers"][0]["metadata"]["query"].partition("IN (")[2].partition(")")[0]
    return {each.strip().strip("'") for each in listed.split(",")}


@pytest.fixture
def connection(migrated) -> Iterator[psycopg.Connection]:
    """A connection to a migrated Postgres."""
    with psycopg.connect(migrated.database_url) as opened:
        yield opened


def test_the_queries_run(connection: psycopg.Connection) -> None:
    """Postgres answers each query of a ScaledObject with one number."""
    for each in of_kind(rendered("fleet-values"), "ScaledObject").values():
        assert connection.execute(each["spec"]["triggers"][0]["metadata"]["query"]).fetchall() == [(0,)]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("workers.light.replica=3", "replica"),
        ('blobs.url="file:///tmp"', "blobs"),
        ('existingSecret.name=""', "existingSecret"),
        ("keda.enabled=true", "keda"),
        ("serviceMonitor.enabled=true", "metricsToken"),
        ('vendorKeys.names=["openai"]', "vendorKeys"),
        ('config={"DATABASE__URL": "postgresql://u:p@h/d"}', "DATABASE__URL"),
        ('local.zoo.replicas={"min": 0, "max": 1}', "only KEDA scales from zero"),
    ],
)
def test_values_that_cannot_work_are_refused(setting: str, said: str) -> None:
    """The schema, or the chart, names what is wrong before anything is installed."""
    assert said in refusal(setting)


def test_zero_and_false_are_kept() -> None:
    """A group without a GPU has none, although the groups' default is one; large numbers keep their digits."""
    pod = pods(rendered("demo-values", "config.INTAKE__MAX_BYTES=30000000"))["rel-whodrew-local-zoo"]
    assert "nvidia" not in json.dumps(pod["spec"]["containers"][0]["resources"])
    documents = rendered("demo-values", "config.INTAKE__MAX_BYTES=30000000")
    assert of_kind(documents, "ConfigMap")["rel-whodrew"]["data"]["INTAKE__MAX_BYTES"] == "30000000"
