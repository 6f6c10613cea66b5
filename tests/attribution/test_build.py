"""Building adapters: catalog entries and specifications become what they name, or a sentence."""

import builtins
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attribution.build import Placement, build_captioner, build_embedder, build_generator
from attribution.catalog import Limits, Source
from attribution.errors import ConfigurationError, SourceUnavailable
from attribution.ports import Deadline
from attribution.weights import digest_of_directory

FAKE = Source(1, "fake", "Fake", True, "f", "local", "fake/model", "1", "none", 1, "fake", parameters={"size": 32})
HUB = replace(FAKE, id="hub", adapter="diffusers", model="owner/model", revision="main", parameters={"steps": 2})
PLACEMENT = Placement()


def test_a_fake_source() -> None:
    """Parameters of the entry reach the fake."""
    generator = build_generator(FAKE, PLACEMENT)
    assert (generator.source, str(generator.ref)) == ("fake", "fake/model@1")
    assert generator.generate("a hat", (1,), Deadline.after(9))[0].image.size == (32, 32)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sleep": 1}, "sleep is not a known key"),
        ({"size": "big"}, "size must be a whole number, not 'big'"),
        ({"hang": 2}, "hang must be true or false"),
        ({"fail": "loudly"}, "fail must be .* not 'loudly'"),
    ],
)
def test_fake_rejects_wrong_parameters(parameters: dict[str, Any], message: str) -> None:
    """A misspelled behavior is an error."""
    with pytest.raises(ConfigurationError, match=message):
        build_generator(replace(FAKE, parameters=parameters), PLACEMENT)


def test_whole_numbers_are_numbers() -> None:
    """`sleep_seconds = 0` in TOML is an integer, and accepted."""
    assert build_generator(replace(FAKE, parameters={"sleep_seconds": 0}), PLACEMENT)


def test_an_unknown_adapter_lists_those_there_are() -> None:
    """The error for an unknown adapter lists the known ones."""
    with pytest.raises(ConfigurationError, match="diffusers, fake"):
        build_generator(replace(FAKE, adapter="telepathy"), PLACEMENT)


@pytest.mark.parametrize("revision", ["main", "v1.0", "fp16", "abc123", "G" * 40])
def test_unpinned_hub_model_is_refused(revision: str) -> None:
    """A branch is refused, because it would give another result later."""
    with pytest.raises(ConfigurationError, match="allow_unpinned"):
        build_generator(replace(HUB, revision=revision), PLACEMENT)


def test_missing_weights_say_where_they_belong(tmp_path: Path) -> None:
    """A local model without weights is unavailable, which does not affect other sources."""
    source = replace(HUB, model="models/unet", revision="sha256:" + "0" * 16, root=tmp_path)
    with pytest.raises(SourceUnavailable, match="models/unet"):
        build_generator(source, PLACEMENT)


def test_other_weights_than_the_catalog_says_are_refused(tmp_path: Path) -> None:
    """Retrained weights under an old revision are refused: caches would serve images of the old weights."""
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "model_index.json").write_text("{}")
    source = replace(HUB, model="unet", revision="sha256:" + "0" * 16, root=tmp_path)
    with pytest.raises(ConfigurationError, match=digest_of_directory(tmp_path / "unet")):
        build_generator(source, PLACEMENT)


def test_parameters_must_have_their_type(tmp_path: Path) -> None:
    """The error for a number as dtype names the key."""
    (tmp_path / "unet").mkdir()
    revision = digest_of_directory(tmp_path / "unet")
    source = replace(HUB, model="unet", revision=revision, root=tmp_path, parameters={"dtype": 32})
    with pytest.raises(ConfigurationError, match=r"parameters\.dtype"):
        build_generator(source, PLACEMENT)


def test_fakes_by_specification() -> None:
    """Fake captioner and embedder need no model, and take options."""
    assert build_captioner("fake:", PLACEMENT).ref.name == "fake-captioner"
    assert build_captioner("fake:crash_on=red,sleep_seconds=0.5", PLACEMENT)
    assert build_embedder("fake:", PLACEMENT).ref.name == "fake-embedder"


@pytest.mark.parametrize(
    ("build", "spec", "message"),
    [
        (build_captioner, "clap:x", "blip, vlm, pez"),
        (build_captioner, "blip:no/such?beams=3", "beams"),
        (build_captioner, "fake:loud=true", "loud"),
        (build_captioner, "blip:no/such", "needs its revision"),
        (build_captioner, "blip:", "which blip"),
        (build_embedder, "clap:x", "open_clip, onnx, fake"),
        (build_embedder, "onnx#layer=2", "no embedder"),
        (build_embedder, "", "no embedder ''"),
        (build_embedder, "fake:levels=3", "2, 4 or 8"),
    ],
)
def test_a_wrong_specification_says_what_is_wrong(build: Callable[..., object], spec: str, message: str) -> None:
    """Every mistake in a specification has its own sentence."""
    with pytest.raises(ConfigurationError, match=message):
        build(spec, PLACEMENT)


def test_missing_wheels_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ML wheels, the error of every builder names the extra to install."""
    (tmp_path / "unet").mkdir()
    source = replace(HUB, model="unet", revision=digest_of_directory(tmp_path / "unet"), root=tmp_path)
    for module in ("resynthesis.diffusers", "caption.blip", "embed.open_clip"):
        monkeypatch.delitem(sys.modules, f"attribution.{module}", raising=False)
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] in ("torch", "diffusers", "transformers", "open_clip"):
            raise ImportError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r"\[ml\] extra"):
        build_generator(source, PLACEMENT)
    with pytest.raises(ConfigurationError, match=r"\[ml\] extra"):
        build_captioner(f"blip:{tmp_path}", PLACEMENT)
    with pytest.raises(ConfigurationError, match=r"\[ml\] extra"):
        build_embedder("open_clip:local-dir:x", PLACEMENT)


def test_import_needs_no_ml_wheels() -> None:
    """The package, the catalog and `build` load without any ML wheel."""
    script = (
        "import sys, attribution, attribution.build, attribution.catalog, attribution.image, attribution.__main__\n"
        "heavy = {'torch', 'torchvision', 'diffusers', 'transformers', 'open_clip', 'timm', 'accelerate'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_limits_and_placement_reach_the_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The placement overrides the entry; parameters for loading are not arguments of the call."""
    from attribution.resynthesis.diffusers import DiffusersGenerator

    (tmp_path / "unet").mkdir()
    seen: list[Any] = []
    monkeypatch.setattr(DiffusersGenerator, "load", lambda *arguments: seen.append(arguments))
    parameters: dict[str, str | int | float | bool] = {
        "dtype": "float16",
        "variant": "fp16",
        "without": "text_encoder_3, tokenizer_3",
        "steps": 2,
    }
    revision = digest_of_directory(tmp_path / "unet")
    source = replace(HUB, model="unet", revision=revision, root=tmp_path, parameters=parameters, limits=Limits(9.0, 77))
    build_generator(source, Placement(dtype="bfloat16", offload="model", batch_size=2))
    build_generator(replace(HUB, revision="0123456789abcdef" * 2 + "01234567", parameters=parameters), PLACEMENT)

    (_, ref, settings, directory), (_, _, hub_settings, no_directory) = seen
    assert (ref.revision, directory, no_directory) == (revision, tmp_path / "unet", None)
    assert (settings.dtype, settings.offload, settings.batch_size, settings.max_prompt_chars) == (
        "bfloat16",
        "model",
        2,
        77,
    )
    assert (settings.variant, settings.without) == ("fp16", ("text_encoder_3", "tokenizer_3"))
    assert (settings.call, hub_settings.dtype) == ({"steps": 2}, "float16")
