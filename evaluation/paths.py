"""Where the benchmark's own files lie unless an option says otherwise, which can all be made again; and the zoo's."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "evaluation" / ".work"
STORE = WORK / "store"
MODELS = ROOT / "zoo" / "models"
