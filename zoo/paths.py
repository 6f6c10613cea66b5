"""Where things lie: shipped models, source files, and the scratch folder that training may lose at any time."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "zoo" / "models"
CALIBRATION = MODELS / "calibration.json"
SOURCES = ROOT / "sources"
WORK = ROOT / "zoo" / ".work"
