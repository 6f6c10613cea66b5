"""Where the benchmark's own files lie unless an option says otherwise; all of it can be made again."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "benchmark" / ".work"
STORE = WORK / "store"
