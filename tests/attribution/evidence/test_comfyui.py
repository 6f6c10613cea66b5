"""ComfyUI's graph is walked back from the saved image: models, samplers and prompts beside that path do not count."""

import json
from typing import Any

import pytest

from attribution.evidence.finding import Finding
from attribution.evidence.read import read
from tests.attribution.evidence.files import png_texts

SAVE = {"class_type": "SaveImage", "inputs": {"images": ["decode", 0]}}
DECODE = {"class_type": "VAEDecode", "inputs": {"samples": ["sampler", 0], "vae": ["model", 2]}}
MODEL = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "main.safetensors"}}
PROMPT = {"class_type": "CLIPTextEncode", "inputs": {"text": "a secret wish", "clip": ["model", 1]}}


def sampler(**inputs: Any) -> dict[str, Any]:
    """A sampler of the main model, with other inputs."""
    given = {"seed": 7, "steps": 20, "cfg": 5.0, "sampler_name": "euler", "scheduler": "normal", "model": ["model", 0]}
    return {"class_type": "KSampler", "inputs": {**given, "positive": ["prompt", 0], **inputs}}


def found(**nodes: dict[str, Any]) -> Finding:
    """The finding of a graph with these nodes beside the usual ones."""
    graph = {"save": SAVE, "decode": DECODE, "model": MODEL, "prompt": PROMPT, "sampler": sampler(), **nodes}
    (finding,) = read(png_texts({"prompt": json.dumps(dict(reversed(graph.items())))}))
    assert "secret" not in repr(finding)
    return finding


def details(finding: Finding) -> dict[str, str]:
    """Its details by name."""
    return dict(finding.details)


def test_a_graph_of_usual_nodes() -> None:
    """Model, sampler, seed, and that there is a prompt."""
    finding = found()
    assert (finding.model, finding.prompt_present) == ("main.safetensors", True)
    assert (details(finding)["seed"], details(finding)["sampler"]) == ("7", "euler")


def test_models_and_samplers_beside_the_path_are_left_out() -> None:
    """A depth map's model and sampler lead into the conditioning, not into the pixels."""
    finding = found(
        depth_model={"class_type": "UNETLoader", "inputs": {"unet_name": "depth.safetensors"}},
        depth={
            "class_type": "KSampler",
            "inputs": {"seed": 1, "steps": 1, "model": ["depth_model", 0], "latent_image": 0},
        },
        depth_decode={"class_type": "VAEDecode", "inputs": {"samples": ["depth", 0]}},
        control={
            "class_type": "ControlNetApply",
            "inputs": {"conditioning": ["prompt", 0], "image": ["depth_decode", 0], "strength": 1.0},
        },
        sampler=sampler(positive=["control", 0]),
        preview={"class_type": "PreviewImage", "inputs": {"images": ["depth_decode", 0]}},
    )
    assert (finding.model, details(finding)["seed"], finding.prompt_present) == ("main.safetensors", "7", True)


def test_a_second_pass_is_listed_after_the_last_one() -> None:
    """With partial denoising both samplers made the pixels; with full denoising only the last one did."""
    first: dict[str, Any] = {
        "class_type": "KSampler",
        "inputs": {"seed": 1, "steps": 30, "sampler_name": "dpmpp_2m", "model": ["base", 0]},
    }
    first["inputs"]["latent_image"] = ["empty", 0]
    nodes = {
        "first": first,
        "base": {"class_type": "UNETLoader", "inputs": {"unet_name": "base.safetensors"}},
        "empty": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768}},
    }
    finding = found(**nodes, sampler=sampler(latent_image=["first", 0], denoise=0.5))
    assert finding.model == "main.safetensors, base.safetensors"
    assert details(finding)["seed"] == "7, 1"
    assert details(finding)["size"] == "512x768"
    finding = found(**nodes, sampler=sampler(latent_image=["first", 0], denoise=1.0))
    assert (finding.model, details(finding)["seed"]) == ("main.safetensors", "7")


def test_settings_of_their_own_nodes() -> None:
    """Noise, sampler, sigmas and guider are nodes: seed, steps, model and prompt are found through them."""
    finding = found(
        sampler={
            "class_type": "SamplerCustomAdvanced",
            "inputs": {
                "noise": ["noise", 0],
                "sampler": ["select", 0],
                "sigmas": ["sigmas", 0],
                "guider": ["guider", 0],
            },
        },
        noise={"class_type": "RandomNoise", "inputs": {"noise_seed": 991}},
        select={"class_type": "KSamplerSelect", "inputs": {"sampler_name": "deis"}},
        sigmas={"class_type": "BasicScheduler", "inputs": {"scheduler": "beta", "steps": 24, "model": ["lora", 0]}},
        guider={"class_type": "BasicGuider", "inputs": {"model": ["lora", 0], "conditioning": ["prompt", 0]}},
        lora={
            "class_type": "LoraLoaderModelOnly",
            "inputs": {"lora_name": "style.safetensors", "strength_model": 1, "model": ["model", 0]},
        },
    )
    assert finding.model == "main.safetensors"
    expected = {"sampler": "deis", "scheduler": "beta", "steps": "24", "seed": "991", "lora": "style.safetensors"}
    assert details(finding) == expected
    assert finding.prompt_present


@pytest.mark.parametrize("key", ["seed", "noise_seed"])
def test_a_wired_seed_is_followed(key: str) -> None:
    """A seed from a node of its own, and a prompt from a text node."""
    finding = found(
        sampler=sampler(**{"seed": None, key: ["number", 0]}),
        number={"class_type": "PrimitiveInt", "inputs": {"value": 123}},
        prompt={"class_type": "CLIPTextEncode", "inputs": {"text": ["words", 0], "clip": ["model", 1]}},
        words={"class_type": "PrimitiveStringMultiline", "inputs": {"value": "a secret wish"}},
    )
    assert (details(finding)["seed"], finding.prompt_present) == ("123", True)


def test_a_remote_node_is_its_own_model() -> None:
    """A node that calls a vendor has a model and a prompt, and no sampler."""
    finding = found(
        save={"class_type": "SaveImage", "inputs": {"images": ["remote", 0]}},
        remote={"class_type": "IdeogramV3", "inputs": {"prompt": "a secret wish", "model": "V3", "seed": 4}},
    )
    assert (finding.model, finding.prompt_present, details(finding)["seed"]) == ("V3", True, "4")


def test_cycles_end() -> None:
    """A graph that leads back to itself, and links to nodes that are missing."""
    finding = found(
        decode={"class_type": "VAEDecode", "inputs": {"samples": ["loop", 0], "vae": ["nowhere", 0]}},
        loop={"class_type": "LatentUpscale", "inputs": {"samples": ["decode", 0], "other": ["sampler", 0]}},
    )
    assert finding.model == "main.safetensors"
