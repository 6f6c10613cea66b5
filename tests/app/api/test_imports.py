"""What the API process carries, and what its decoding children do not."""

import subprocess
import sys

ML = {"torch", "torchvision", "transformers", "diffusers", "open_clip", "accelerate", "safetensors", "onnxruntime"}


def imported_by(statement: str) -> set[str]:
    """The top-level and dotted names of every module that a fresh interpreter has after the statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_the_api_imports_no_machine_learning():
    """Nor arrays and images, nor the workers, nor the migrations' tool, nor the embedded servers."""
    modules = imported_by("import app.api")
    assert "fastapi" in modules
    assert not modules & (ML | {"workers", "devstack", "alembic", "c2pa", "numpy", "PIL"})


def test_a_decoding_child_imports_nothing_of_the_service():
    """It knows how to decode, and neither settings nor stores nor the web."""
    modules = imported_by(
        "import app.intake.decoder_child, app.intake.decoding, app.intake.sandbox, attribution.evidence.read"
    )
    ours = {name for name in modules if name.split(".")[0] == "app"}
    intake = {f"app.intake.{name}" for name in ("decoder_child", "decoding", "sandbox")}
    assert ours == {"app", "app.intake"} | intake
    assert not modules & (ML | {"fastapi", "sqlalchemy", "redis", "celery", "pydantic", "c2pa"})
