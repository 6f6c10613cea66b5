"""What is built for each of open_clip's pairs of architecture and weights, and when a revision changes."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from torch import nn

from attribution.build import Placement, build_captioner, build_embedder
from attribution.embed.pretrained import build_clip, load_clip
from attribution.errors import ConfigurationError
from attribution.weights import digest_of_file
from evaluation.baselines.openclip import open_model
from evaluation.captions.quality import TextTower

DEMO = Path("zoo/models/clip")
Change = Callable[[dict[str, Any]], object]


class Foreign(nn.Module):
    """Stands for towers of timm and transformers, whose activation is their own, whatever open_clip is asked for."""

    context_length, vocab_size, output_dim = 77, 100, 8

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip neither downloads weights nor loads them, and builds only the first layer of each of its towers."""
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *_, **__: "nowhere")
    monkeypatch.setattr(open_clip.factory, "load_checkpoint", lambda *_, **__: None)
    for name in ("TimmModel", "HFTextEncoder"):
        monkeypatch.setattr(open_clip.model, name, Foreign)
    for name in ("CLIP", "CustomTextCLIP", "CoCa"):
        monkeypatch.setattr(open_clip.factory, name, shallow(getattr(open_clip, name)))


def shallow(kind: type[nn.Module]) -> Callable[..., nn.Module]:
    """The same class with one layer in each transformer; the stages of a ResNet have no activation to choose."""

    def build(**config: Any) -> nn.Module:
        for part in ("vision_cfg", "text_cfg", "multimodal_cfg"):
            if isinstance(config.get(part, {}).get("layers"), int):
                config[part] = {**config[part], "layers": 1}
        return kind(**config)

    return build


def activations(model: nn.Module) -> set[str]:
    """Of the transformers that are open_clip's own."""
    kinds = (nn.GELU, open_clip.transformer.QuickGELU)
    return {type(module).__name__ for module in model.modules() if isinstance(module, kinds)}


def test_every_pair_has_the_activation_of_its_weights(no_weights: None) -> None:
    """Of 196, 27 have another than their architecture's, and one is refused; a warning would be an error."""
    pairs = open_clip.list_pretrained()
    others, foreign, refused = [], [], []
    for architecture, tag in pairs:
        name = f"{architecture}/{tag}"
        quick = open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
        by_itself = open_clip.get_model_config(architecture).get("quick_gelu", False)
        try:
            with torch.device("meta"):
                model, _, config = build_clip(name, "meta")
        except ConfigurationError as error:
            refused.append((name, str(error)))
            continue
        found = activations(model)
        assert found <= {"QuickGELU" if quick else "GELU"}, name
        assert config["quick_gelu"] == quick, name
        others += [name] if quick != by_itself else []
        foreign += [] if found else [architecture]
    assert (len(pairs), len(others)) == (196, 27)
    assert {"ViT-L-14-336/openai", "ViT-B-16/dfn2b", "RN50/cc12m"} < set(others)
    assert all(name.startswith("nllb-clip") for name in foreign)
    ((name, sentence),) = refused
    assert name == "roberta-ViT-B-32/laion2b_s12b_b32k"
    assert sentence.endswith("Name it hf-hub:laion/CLIP-ViT-B-32-roberta-base-laion2B-s12B-b32k instead.")


def test_open_clip_by_itself_builds_another(no_weights: None) -> None:
    """What the papers' embedder was before: a warning, and features of an activation that its weights never saw."""
    with torch.device("meta"), pytest.warns(UserWarning, match="QuickGELU mismatch"):
        model, _, _ = open_clip.create_model_and_transforms("ViT-L-14-336", "openai", device="meta")
    assert activations(model) == {"GELU"}
    with torch.device("meta"):
        same, other = (build_clip(f"ViT-L-14-336{end}/openai", "meta") for end in ("", "-quickgelu"))
    assert activations(same[0]) == {"QuickGELU"}
    assert same[2] == other[2]


def test_the_demo_keeps_its_revision() -> None:
    """That of its weight file alone, under which thresholds are stored."""
    assert load_clip(f"local-dir:{DEMO}").ref.revision == digest_of_file(DEMO / "open_clip_model.safetensors")


CHANGES: dict[str, Change] = {
    "activation": lambda config: config["model_cfg"].update(quick_gelu=True),
    "heads": lambda config: config["model_cfg"]["vision_cfg"].update(head_width=16),
    "size": lambda config: config["model_cfg"]["vision_cfg"].update(image_size=48),
    "mean": lambda config: config["preprocess_cfg"].update(mean=[0.4] * 3),
    "std": lambda config: config["preprocess_cfg"].update(std=[0.4] * 3),
    "interpolation": lambda config: config["preprocess_cfg"].update(interpolation="bilinear"),
    "resize mode": lambda config: config["preprocess_cfg"].update(resize_mode="shortest"),
    "padding": lambda config: config["preprocess_cfg"].update(resize_mode="longest", fill_color=9),
}


def changed(directory: Path, change: Change, source: Path = DEMO) -> str:
    """The name of a copy of a CLIP, its weights as they were and its configuration changed."""
    shutil.copytree(source, directory)
    file = directory / "open_clip_config.json"
    config = json.loads(file.read_text())
    change(config)
    file.write_text(json.dumps(config))
    return f"local-dir:{directory}"


def test_the_revision_is_of_all_that_changes_features(clip: Path, tmp_path: Path) -> None:
    """The same weights with other settings share neither features nor thresholds; what says the same does."""
    before = load_clip(f"local-dir:{clip}").ref.revision
    found = [load_clip(changed(tmp_path / what, change, clip)).ref.revision for what, change in CHANGES.items()]
    assert len({before, *found}) == len(CHANGES) + 1
    weights = digest_of_file(clip / "open_clip_model.safetensors")
    assert all(re.fullmatch(rf"{weights},config=[0-9a-f]{{8}}", revision) for revision in found)
    same = changed(tmp_path / "same", lambda config: config["model_cfg"].update(quick_gelu=False), clip)
    assert load_clip(same).ref.revision == before


def test_all_who_use_a_clip_load_it_alike(tmp_path: Path) -> None:
    """Embedder, layer, captioner, and the benchmark's two: of one directory the same activation and revision."""
    name = changed(tmp_path / "clip", CHANGES["activation"])
    revision = load_clip(name).ref.revision
    embedder: Any = build_embedder(f"open_clip:{name}", Placement())
    layer: Any = build_embedder(f"open_clip:{name}#layer=1", Placement())
    captioner: Any = build_captioner(f"pez:{name}?steps=1", Placement())
    opened = open_model(name)
    used = [embedder._tower, layer._tower, captioner._clip._model, opened.model, TextTower(name)._model]
    assert [activations(module) for module in used] == [{"QuickGELU"}] * 5
    assert {embedder.ref.revision, layer.ref.revision, opened.revision} == {revision}
    assert captioner.ref.revision.startswith(f"{revision},steps=1,")


def test_nothing_else_calls_the_factory() -> None:
    """A model that is loaded in another place could have another activation."""
    folders = ("app", "attribution", "bench", "benchmark", "embedded", "workers", "zoo")
    files = [file for folder in folders for file in Path(folder).rglob("*.py")]
    calls = re.compile(r"open_clip\.(factory\.)?(create_|load_|get_tokenizer)|from open_clip\b")
    assert [file.as_posix() for file in files if calls.search(file.read_text())] == ["attribution/embed/pretrained.py"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ViT-L-14-336/opnai", "ViT-L-14-336/openai"),
        ("ViT-L14/openai", "ViT-L-14/openai"),
        ("ViT-H-14-378", "ViT-H-14-378/dfn5b"),
        ("ViT-B-32-quickgelu/laion2b_s34b_b79k", "ViT-B-32/laion2b_s34b_b79k"),
        ("", "/"),
    ],
)
def test_an_unknown_pair_is_refused_with_near_names(name: str, near: str) -> None:
    """In one sentence, before anything is downloaded."""
    with pytest.raises(ConfigurationError, match="Near names are") as refused:
        load_clip(name)
    assert near in str(refused.value)


def test_a_file_is_no_tag() -> None:
    """Nothing says with which activation it was trained; the configuration of a directory does."""
    with pytest.raises(ConfigurationError, match="files of your own are local-dir:DIRECTORY"):
        load_clip(f"ViT-B-32/{DEMO / 'open_clip_model.safetensors'}")


def test_broken_files_are_a_sentence(tmp_path: Path) -> None:
    """Whatever kind of error the libraries raise."""
    incomplete = changed(tmp_path / "incomplete", lambda config: config["model_cfg"].pop("text_cfg"))
    torn = changed(tmp_path / "torn", lambda config: None)
    weights = tmp_path / "torn" / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    mute = changed(tmp_path / "mute", lambda config: None)
    (tmp_path / "mute" / "tokenizer.json").write_text("{")
    for name in (incomplete, torn):
        with pytest.raises(ConfigurationError, match=f"The CLIP {name} cannot be loaded"):
            load_clip(name)
    with pytest.raises(ConfigurationError, match="The tokenizer of mute cannot be loaded"):
        load_clip(mute).tokenizer()
