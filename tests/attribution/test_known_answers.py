"""Known answers: the models that ship reproduce them, and each way of spoiling a model is named in a sentence."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from attribution.build import Placement, build_captioner, build_embedder
from attribution.caption.spec import parse as parse_captioner
from attribution.embed.fake import FakeEmbedder, FakeEmbedderBehavior
from attribution.embed.spec import parse as parse_embedder
from attribution.errors import ConfigurationError
from attribution.image import decode_own
from attribution.known_answers import KnownAnswers, reproduce, subject_of_embedder, subjects_of_captioner
from attribution.known_answers.answers import check_beside, file_name
from attribution.known_answers.known_images import known_images
from attribution.known_answers.subject import AnswerSubject, SubjectKind
from attribution.ports import ModelRef
from attribution.weights import KNOWN_ANSWERS, digest_of_directory
from tests.attribution.command_line import main

MODELS = Path(__file__).parents[2] / "zoo/models"
OPENAI = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}


def copied(name: str, directory: Path) -> Path:
    """A copy of a model that ships."""
    return Path(shutil.copytree(MODELS / name, directory / name))


def rewritten(file: Path, change: Callable[[Any], object]) -> None:
    """Changes a JSON file."""
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def embedder(spec: str) -> AnswerSubject:
    """The embedder that a specification names, as a worker asks it."""
    subject = subject_of_embedder(build_embedder(spec, Placement(threads=1)), parse_embedder(spec), "cpu")
    assert subject is not None
    return subject


def asked(ask: Callable[[Sequence[Image.Image]], Any], kind: SubjectKind = SubjectKind.EMBEDDER) -> AnswerSubject:
    """A model of the hub, without a directory, that answers as the function does."""
    return AnswerSubject(kind, ModelRef("hub/model", "1"), ask, None, "float32 on cpu")


@pytest.mark.parametrize("name", ["clip", "clip-onnx", "captioner"])
def test_models_that_ship_reproduce_their_answers(name: str, capsys: pytest.CaptureFixture) -> None:
    """Those in the checkout, on this machine, and from the images that the code makes today."""
    assert main(["known-answers", "check", str(MODELS / name)]) == 0
    assert "reproduces" in capsys.readouterr().out
    known = KnownAnswers.read(MODELS / name / KNOWN_ANSWERS)
    assert known is not None
    for each, image in known_images().items():
        assert np.array_equal(np.asarray(decode_own(known.images[each])), np.asarray(image))


def test_answers_do_not_change_a_revision(tmp_path: Path) -> None:
    """Thresholds and caches stand on revisions: with and without the file they are the same."""
    directory = copied("clip-onnx", tmp_path)
    before = digest_of_directory(directory)
    (directory / KNOWN_ANSWERS).unlink()
    assert digest_of_directory(directory) == before == "sha256:456a29a568a6fdf0"


@pytest.mark.parametrize(
    ("section", "values", "sentence"),
    [
        ("model_cfg", {"quick_gelu": True}, "quick_gelu"),
        ("preprocess_cfg", OPENAI, "mean, std"),
        ("preprocess_cfg", {"resize_mode": "squash"}, "resize_mode"),
        ("preprocess_cfg", {"interpolation": "bilinear"}, "interpolation"),
    ],
)
def test_a_clip_that_is_used_otherwise_is_refused(
    tmp_path: Path, section: str, values: dict[str, Any], sentence: str
) -> None:
    """Another activation or preprocessing is seen from the features, and the sentence says what to look at."""
    directory = copied("clip", tmp_path)
    rewritten(directory / "open_clip_config.json", lambda document: document[section].update(values))
    with pytest.raises(ConfigurationError, match=rf"clip@.* image \w+ \(\d+×\d+\), whose cosine .*{sentence}"):
        check_beside(embedder(f"open_clip:local-dir:{directory}"), directory)


@pytest.mark.parametrize(("values", "sentence"), [(OPENAI, "mean, std"), ({"resize_mode": "longest"}, "resize_mode")])
def test_an_export_that_prepares_otherwise_is_refused(tmp_path: Path, values: dict[str, Any], sentence: str) -> None:
    """Also though the edit gave it another revision: the sentence has both, and the command that records anew."""
    directory = copied("clip-onnx", tmp_path)
    rewritten(directory / "embedder.json", lambda document: document["preprocessing"].update(values))
    subject = embedder(f"onnx:local-dir:{directory}")
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        check_beside(subject, directory)
    assert "recorded from clip@sha256:afccf410db504978 (float32 on cpu)" in str(caught.value)
    assert f"runs {subject.ref} (ONNX Runtime on cpu)" in str(caught.value)
    assert subject.ref.revision != "sha256:456a29a568a6fdf0"
    assert f"python -m attribution known-answers record {directory}" in str(caught.value)


def _swapped(weight: np.ndarray) -> np.ndarray:
    return weight[:, ::-1].copy()


def _perturbed(weight: np.ndarray) -> np.ndarray:
    return weight + np.random.default_rng(0).normal(0, 0.2 * weight.std(), weight.shape).astype(weight.dtype)


def _saturated(weight: np.ndarray) -> np.ndarray:
    return np.clip(weight, -1.5 * weight.std(), 1.5 * weight.std()).astype(weight.dtype)


@pytest.mark.parametrize(
    ("dimensions", "spoil", "sentence"),
    [
        (4, _swapped, "red and blue swapped"),
        (2, _perturbed, "arithmetic"),
        (2, _saturated, "arithmetic"),
    ],
)
def test_a_broken_graph_is_refused(
    tmp_path: Path, dimensions: int, spoil: Callable[[np.ndarray], np.ndarray], sentence: str
) -> None:
    """One tensor is enough: the patches' convolution that reads BGR, or a matrix that is off or cut at its range."""
    directory = copied("clip-onnx", tmp_path)
    model = onnx.load(directory / "model.onnx")
    matrices = [each for each in model.graph.initializer if len(each.dims) == dimensions and min(each.dims) > 2]
    weight = max(matrices, key=lambda each: int(np.prod(each.dims)))
    weight.CopyFrom(numpy_helper.from_array(spoil(numpy_helper.to_array(weight)), weight.name))
    onnx.save(model, directory / "model.onnx")
    with pytest.raises(ConfigurationError, match=sentence):
        check_beside(embedder(f"onnx:local-dir:{directory}"), directory)


def test_a_captioner_that_reads_otherwise_is_refused_with_both_texts(tmp_path: Path) -> None:
    """What it writes, what was recorded, and in which dtypes."""
    directory = copied("captioner", tmp_path)
    change = {"image_mean": OPENAI["mean"], "image_std": OPENAI["std"]}
    rewritten(directory / "processor_config.json", lambda document: document["image_processor"].update(change))
    spec = f"blip:{directory}"
    captioner = build_captioner(spec, Placement(dtype="bfloat16"))
    (subject,) = subjects_of_captioner(captioner, parse_captioner(spec), "bfloat16", "cpu")
    known = KnownAnswers.read(directory / KNOWN_ANSWERS)
    assert known is not None
    with pytest.raises(ConfigurationError, match="does not reproduce") as caught:
        check_beside(subject, directory)
    written = captioner.describe(known_images()["face"])
    assert f'the image face as "{written}"; recorded was "{known.answers["face"]}"' in str(caught.value)
    assert "(float32 on cpu)" in str(caught.value)
    assert "(bfloat16 on cpu)" in str(caught.value)


def test_hard_prompts_are_known_by_their_clip_and_their_start() -> None:
    """Both parts of `blip+pez` lie in directories that ship, and answer as those say."""
    captioner = build_captioner("blip+pez", Placement())
    clip, start = subjects_of_captioner(captioner, parse_captioner("blip+pez"), "float32", "cpu")
    assert (clip.kind, start.kind) == (SubjectKind.EMBEDDER, SubjectKind.CAPTIONER)
    for subject in (clip, start):
        assert subject.directory is not None
        assert check_beside(subject, subject.directory)


def test_an_intended_change_is_recorded_anew(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The command that the sentence names ends the refusal; with --of an export is compared with its original first."""
    directory = copied("clip-onnx", tmp_path)
    rewritten(directory / "embedder.json", lambda document: document["preprocessing"].update(OPENAI))
    assert main(["known-answers", "check", str(directory)]) == 2
    assert main(["known-answers", "record", str(directory), "--of", f"open_clip:local-dir:{MODELS / 'clip'}"]) == 2
    assert "Nothing was written" in capsys.readouterr().err
    assert main(["known-answers", "record", str(directory)]) == 0
    assert main(["known-answers", "check", str(directory)]) == 0
    (directory / KNOWN_ANSWERS).unlink()
    assert main(["known-answers", "check", str(directory)]) == 2
    assert main(["known-answers", "record", str(tmp_path)]) == 2
    assert "neither an open_clip model" in capsys.readouterr().err


def test_an_export_carries_its_originals_answers(tmp_path: Path) -> None:
    """Torch's, by torch's name; float32 must reproduce them nearly to the digit."""
    target = tmp_path / "exported"
    assert main(["export-onnx", f"local-dir:{MODELS / 'clip'}", str(target)]) == 0
    known, shipped = (KnownAnswers.read(directory / KNOWN_ANSWERS) for directory in (target, MODELS / "clip"))
    assert known is not None
    assert shipped is not None
    assert (known.model, known.least_cosine) == (shipped.model, 0.99999)
    for name, features in shipped.answers.items():
        assert np.allclose(known.answers[name], features, atol=1e-4)
    assert check_beside(embedder(f"onnx:local-dir:{target}"), target)


def test_a_model_without_a_file_is_recorded_once(tmp_path: Path) -> None:
    """A layer is an embedder of its own: at first use its answers are written, later it must reproduce them."""
    subject = embedder(f"open_clip:local-dir:{MODELS / 'clip'}#layer=2")
    folder = tmp_path / "known"
    recorded = reproduce(subject, folder)
    assert recorded is not None
    assert recorded.model == str(subject.ref)
    assert reproduce(subject, folder) is None
    assert [path.name for path in folder.iterdir()] == [file_name(subject)]
    mean = embedder(f"open_clip:local-dir:{MODELS / 'clip'}#layer=2,pool=mean")
    assert reproduce(mean, folder) is not None


def test_a_models_later_starts_must_answer_alike(tmp_path: Path) -> None:
    """Under the same name and revision other features are refused, and the file is named that may be deleted."""
    reproduce(asked(FakeEmbedder().embed), tmp_path)
    assert reproduce(asked(FakeEmbedder().embed), tmp_path) is None
    (file,) = tmp_path.iterdir()
    with pytest.raises(ConfigurationError, match=f"have 8 numbers, those recorded 64.*delete {file}"):
        reproduce(asked(FakeEmbedder(FakeEmbedderBehavior(levels=2)).embed), tmp_path)
    nothing = asked(lambda images: [np.full(64, np.nan, np.float32) for _ in images])
    with pytest.raises(ConfigurationError, match="cosine"):
        reproduce(nothing, tmp_path)


def test_answers_of_another_model_are_refused(tmp_path: Path) -> None:
    """A file that was copied to another model's name, another kind's, and one that holds something else."""
    subject = asked(FakeEmbedder().embed)
    KnownAnswers.record(embedder("onnx:local-dir:" + str(MODELS / "clip-onnx"))).write(tmp_path / file_name(subject))
    with pytest.raises(ConfigurationError, match=r"known answers of clip-onnx@.*, not of hub/model@1"):
        reproduce(subject, tmp_path)
    with pytest.raises(ConfigurationError, match="a different kind of model than the embedder hub/model@1"):
        check_beside(subject, MODELS / "captioner")
    (tmp_path / file_name(subject)).write_text('{"schema": 2, "kind": "embedder"}')
    with pytest.raises(ConfigurationError, match="holds no known answers of schema 1"):
        reproduce(subject, tmp_path)


def test_no_file_asks_for_less_than_the_least_cosine(tmp_path: Path) -> None:
    """A file that would let anything pass is read as one that demands 0.999."""
    KnownAnswers.record(asked(FakeEmbedder().embed), least_cosine=-1).write(tmp_path / "file.json")
    known = KnownAnswers.read(tmp_path / "file.json")
    assert known is not None
    assert known.least_cosine == 0.999


def test_captions_near_a_tie_are_not_recorded(tmp_path: Path) -> None:
    """Those that faint noise changes could stop workers on another processor; with none left, nothing is kept."""
    mean = asked(
        lambda images: [str(round(float(np.asarray(image).mean()))) for image in images], SubjectKind.CAPTIONER
    )
    exact = asked(lambda images: [str(np.asarray(image).sum()) for image in images], SubjectKind.CAPTIONER)
    known = reproduce(mean, tmp_path / "mean")
    assert known is not None
    assert known.answers
    for path in (tmp_path / "exact", tmp_path / "exact"):
        none = reproduce(exact, path)
        assert none is not None
        assert not none.answers
        assert not path.exists()
