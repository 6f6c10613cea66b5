"""Default paths of the evaluation's own files, which can all be made again, and of the demo models."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "evaluation" / ".work"
STORE = WORK / "store"
MODELS = ROOT / "zoo" / "models"
