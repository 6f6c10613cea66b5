"""Prints the images that docker-compose.yml starts from, by digest, as lines for .env: `python docker/pin_images.py`.

It asks the registry by `docker buildx imagetools inspect`, so it needs Docker and a way there. Where the registry does
not respond it fails: a digest is never made up.
"""

import re
import subprocess
import sys
from pathlib import Path

COMPOSE = Path(__file__).resolve().parent.parent / "docker-compose.yml"
# A variable with the tag that is used while it is not set.
_REFERENCE = re.compile(r"\$\{(\w+_IMAGE):-([^}]+)\}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def references() -> dict[str, str]:
    """The tags by the names of their variables."""
    return dict(_REFERENCE.findall(COMPOSE.read_text(encoding="utf-8")))


def digest(tag: str) -> str:
    """The digest that the registry has for a tag now. Raises CalledProcessError, and ValueError for another answer."""
    command = ["docker", "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", tag]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603
    if not _DIGEST.fullmatch(answer):
        raise ValueError(f"{answer!r} is not the digest of {tag}")
    return answer


if __name__ == "__main__":
    for variable, tag in references().items():
        try:
            print(f"{variable}={tag}@{digest(tag)}")
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            sys.exit(f"{tag}: {getattr(error, 'stderr', None) or error}")
