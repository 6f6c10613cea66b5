"""What is there is not done again; what its inputs made stale is, and what needs a failed step is not tried."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from attribution.errors import ConfigurationError
from evaluation.cli import main
from evaluation.plan.command import Run
from evaluation.plan.steps import PlanStep
from evaluation.provenance import save


class Commands:
    """Stands for `python -m evaluation`: records commands, makes a dataset or result, fails if chosen."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.failing: set[str] = set()

    def __call__(self, arguments: Sequence[str]) -> int:
        """One command."""
        kind, directory, *rest = arguments
        self.kinds.append(kind)
        if kind == "make":
            Path(directory).mkdir(exist_ok=True)
            (Path(directory) / "items.jsonl").write_text(rest[0])
            (Path(directory) / "manifest.json").write_text("{}")
        if kind in self.failing:
            return 1
        save(Path(arguments[-1]), {"rest": rest})
        return 0


@pytest.fixture
def commands() -> Commands:
    """A command line."""
    return Commands()


def plan(commands: Commands, tmp_path: Path, characters: str = "10", shots: str = "1") -> Run:
    """A dataset, and two steps that read it."""
    data = tmp_path / "set"
    steps = (
        PlanStep("dataset", ("make", str(data), characters), makes=data),
        PlanStep("zoo-t1", ("t1", str(data), shots), ("dataset",)),
        PlanStep("zoo-external-scores", ("external_scores", str(data)), ("dataset",)),
    )
    return Run(steps, tmp_path / "results", commands, {"t1": ("--threads", "1")})


def test_only_what_is_stale_is_done(commands: Commands, tmp_path: Path) -> None:
    """Nothing twice; after another option that step alone; after another dataset all that read it."""
    assert plan(commands, tmp_path).do(["*"]) == []
    assert plan(commands, tmp_path).do(["*"]) == []
    assert commands.kinds == ["make", "t1", "external_scores"]
    assert plan(commands, tmp_path, shots="2").do(["*"]) == []
    assert commands.kinds[3:] == ["t1"]
    assert plan(commands, tmp_path, characters="20", shots="2").do(["*"]) == []
    assert commands.kinds[4:] == ["make", "t1", "external_scores"]
    assert plan(commands, tmp_path, characters="20", shots="2").do(["zoo-external-scores"], again=True) == []
    assert commands.kinds[7:] == ["make", "external_scores"]
    (tmp_path / "set" / "manifest.json").unlink()
    assert plan(commands, tmp_path, characters="20", shots="2").do(["*"]) == []
    assert commands.kinds[9:] == ["make"]


def test_what_was_written_by_a_killed_step_does_not_count(commands: Commands, tmp_path: Path) -> None:
    """A step is done when its inputs are noted, which comes last."""
    run = plan(commands, tmp_path)
    run.do(["zoo-t1"])
    out = tmp_path / "results" / "zoo-t1.json"
    document = json.loads(out.read_text())
    assert document["rest"] == ["1", "--threads", "1", "--out", str(out)]
    del document["made"]["inputs"]
    out.write_text(json.dumps(document))
    run.do(["zoo-t1"])
    assert commands.kinds == ["make", "t1", "t1"]


def test_failures(commands: Commands, tmp_path: Path) -> None:
    """What can be done without a failed step is done; what needs it is named with it."""
    commands.failing = {"t1"}
    assert plan(commands, tmp_path).do(["*"]) == ["zoo-t1"]
    assert commands.kinds == ["make", "t1", "external_scores"]
    commands.failing = {"make"}
    assert plan(commands, tmp_path, characters="5").do(["*"]) == ["dataset", "zoo-t1", "zoo-external-scores"]
    with pytest.raises(ConfigurationError, match="no step zoo-x"):
        plan(commands, tmp_path).do(["zoo-x"])


def test_the_plan_says_what_there_is_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every step of the full size by the command it is; real images need their embedder."""
    assert main(["all", "--list", "--work", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("to do") for line in lines)
    assert lines[2].split()[2:] == ["zoo-evaluate-10", "python", "-m", "evaluation", "evaluate", *lines[2].split()[7:]]
    assert lines[2].endswith("zoo-amused,zoo-pixel --check")
    assert main(["all", "--real", str(tmp_path)]) == 2
    assert main(["all", "--list", "--real", str(tmp_path / "real-five"), "--real-embedder", "onnx"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "real-five-" in line.split()[2]]
    parts = ["distances", "images-per-source", "external-scores", "embedders"]
    assert [(line.split()[2].removeprefix("real-five-"), "--alike" in line) for line in lines] == [
        *((f"alike-{part}", True) for part in (*parts, "distortions")),
        *((f"as-they-are-{part}", False) for part in parts),
    ]
