"""Workers and known answers: a model that answers otherwise keeps its worker from starting."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import devstack
from app.queue.steps import Role
from attribution.errors import ConfigurationError
from tests.attribution.test_known_answers import MODELS, copied, rewritten
from tests.workers.harness import Bench
from tests.workers.test_main import run
from workers.startup import warm_up

CLIP = f"open_clip:local-dir:{MODELS / 'clip'}"


def squashed(directory: Path) -> Path:
    """The small CLIP, exported, with another way of making images fit."""
    exported = copied("clip-onnx", directory)
    rewritten(exported / "embedder.json", lambda document: document["preprocessing"].update(resize_mode="squash"))
    return exported


def test_a_worker_whose_export_prepares_images_differently_does_not_start(
    servers: devstack.Servers, tmp_path: Path
) -> None:
    """The process ends before it is warm, and its last line names model, image, cosine and where to look."""
    ended = run(servers, "embed", MODELS__EMBEDDER=f"onnx:local-dir:{squashed(tmp_path)}")
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert "The embedder clip-onnx@sha256:" in last
    assert "whose cosine with those recorded is 0." in last
    assert "look at resize_mode" in last
    assert '"warm"' not in ended.stdout + ended.stderr


def test_a_worker_whose_clip_has_another_activation_does_not_start(servers: devstack.Servers, tmp_path: Path) -> None:
    """QuickGELU instead of GELU, in a model that a job may only name beside the default."""
    clip = copied("clip", tmp_path)
    rewritten(clip / "open_clip_config.json", lambda document: document["model_cfg"].update(quick_gelu=True))
    others = f'{{"other": "open_clip:local-dir:{clip}"}}'
    ended = run(servers, "embed", MODELS__EMBEDDER=CLIP, MODELS__EMBEDDERS=others)
    assert ended.returncode == 1
    assert "look at the activation (quick_gelu)" in ended.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("kind", ["blip", "pez"])
def test_captioners_are_checked_too(bench: Callable[..., Bench], tmp_path: Path, kind: str) -> None:
    """BLIP by its words, the search for hard prompts by its CLIP's features."""
    spoiled = {
        "pez": ("clip", "open_clip_config.json", "preprocess_cfg", {"mean": [0.4] * 3}, "pez:local-dir:"),
        "blip": ("captioner", "processor_config.json", "image_processor", {"image_mean": [0.2] * 3}, "blip:"),
    }
    name, file, section, change, prefix = spoiled[kind]
    directory = copied(name, tmp_path)
    rewritten(directory / file, lambda document: document[section].update(change))
    models = {"captioner": "fake:", "captioners": {"other": f"{prefix}{directory}"}, "embedder": "fake:"}
    process = bench({"here": ""}, models=models).process
    with pytest.raises(ConfigurationError, match=f"{name}@.* does not reproduce its known answers in {directory}"):
        warm_up(process.models, [Role.CAPTION])


@pytest.mark.usefixtures("fresh_startup_log")
def test_models_without_a_file_are_recorded_at_first_use(bench: Callable[..., Bench], tmp_path: Path) -> None:
    """The first start writes into the operator's folder, the second compares; shipped models are compared at once."""
    embedders = {"layer-2": f"{CLIP}#layer=2"}
    models = {"captioner": "fake:", "embedder": CLIP, "embedders": embedders, "known_answers": tmp_path / "known"}
    events = []
    for _ in range(2):
        with capture_logs() as lines:
            warm_up(bench({"here": ""}, models=models).process.models, [Role.EMBED, Role.CAPTION])
        events.append([line["event"] for line in lines if "known_answers" in line["event"]])
    assert events == [["known_answers_reproduced", "known_answers_recorded"], ["known_answers_reproduced"] * 2]
    assert len(list((tmp_path / "known").iterdir())) == 1


@pytest.mark.usefixtures("fresh_startup_log")
def test_a_folder_that_cannot_be_written_is_a_warning(bench: Callable[..., Bench], tmp_path: Path) -> None:
    """The worker starts, and its log says what was not compared and which setting to change."""
    (tmp_path / "file").touch()
    exported = shutil.copytree(MODELS / "clip-onnx", tmp_path / "graph", ignore=shutil.ignore_patterns("known_*"))
    models = {"captioner": "fake:", "embedder": f"onnx:local-dir:{exported}", "known_answers": tmp_path / "file/known"}
    with capture_logs() as lines:
        warm_up(bench({"here": ""}, models=models).process.models, [Role.EMBED])
    (warning,) = [line for line in lines if line["log_level"] == "warning"]
    assert warning["model"].startswith("graph@sha256:")
    assert "MODELS__KNOWN_ANSWERS" in warning["reason"]
    assert lines[-1]["event"] == "warm"
