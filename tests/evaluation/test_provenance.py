"""What a figure says of itself: how to make it again, and nothing of where it was made."""

import json
from pathlib import Path

from evaluation.provenance import command, running, save, weights
from evaluation.store import ROOT, digest


def test_a_command_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    """Files of the repository are named from there, others by their last name alone."""
    found = command(["evaluate", str(ROOT / "evaluation" / ".work" / "a set"), "--store", str(tmp_path / "kept")])
    of_model = command(["evaluate", "--embedder", f"onnx:local-dir:{tmp_path / 'clip'}#layer=2"])
    assert of_model == "python -m evaluation evaluate --embedder 'onnx:local-dir:…/clip#layer=2'"
    assert found == "python -m evaluation evaluate 'evaluation/.work/a set' --store '…/kept'"


def test_a_document_says_how_it_was_made(tmp_path: Path) -> None:
    """By which command, when, how long it took, on what machine and with which versions."""
    with running(["t1", "set"]):
        save(tmp_path / "one.json", {"value": 1})
    document = json.loads((tmp_path / "one.json").read_text())
    assert document["value"] == 1
    made = document["made"]
    assert made["command"] == "python -m evaluation t1 set"
    assert made["at"].endswith("+00:00")
    assert made["seconds"] >= 0
    assert made["machine"]["cores"] >= 1
    listed = Path("/proc/cpuinfo")  # where there is none, instructions are not known
    known = listed.read_text().split() if listed.is_file() else ["not", "known"]
    assert set(made["machine"]["instructions"].split()) <= set(known)
    assert made["machine"]["memory_gib"] > 0
    assert {"python", "numpy", "torch"} <= set(made["versions"])


def test_weights_by_path(tmp_path: Path) -> None:
    """Weights only, by where they lie."""
    (tmp_path / "clip").mkdir()
    for name in ("clip/model.safetensors", "clip/config.json"):
        (tmp_path / name).write_text(name)
    assert weights(tmp_path) == {"clip/model.safetensors": digest(tmp_path / "clip" / "model.safetensors")}
