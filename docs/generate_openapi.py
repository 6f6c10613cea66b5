"""Writes docs/openapi.json, the API's OpenAPI document: `python docs/generate_openapi.py`, from anywhere.

With `--check` it writes nothing and fails when the file is not what it would write; a test does the same.
"""

import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from app.api import create_app  # noqa: E402 - found only now, wherever this is started
from app.settings import Settings  # noqa: E402

TARGET = REPOSITORY / "docs" / "openapi.json"
# Nothing connects before the app starts, and the document depends on no setting.
_SETTINGS = {"database": {"url": "postgresql://user@localhost/none"}, "redis": {"url": "redis://localhost"}}


def document() -> str:
    """The whole file."""
    return json.dumps(create_app(Settings.model_validate(_SETTINGS)).openapi(), ensure_ascii=False, indent=1) + "\n"


def main(arguments: list[str]) -> int:
    """Writes or checks; the exit code is 1 where a check fails."""
    text = document()
    if "--check" not in arguments:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.read_text(encoding="utf-8") == text:
        return 0
    print("docs/openapi.json is out of date; run: python docs/generate_openapi.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
