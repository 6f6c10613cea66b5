"""The words of the project: docs/glossary.md has those in use, and retired ones do not come back."""

import re
import subprocess

from tests.conftest import REPOSITORY

# What stood for something that has a standard term; docs/glossary.md has the terms.
RETIRED = re.compile(
    r"\b(drawings?|redraws?|redrawn|drew|drawn|scale models?|somebody|nobody|whoever|brought|mend(s|ed)?|told|tells"
    r"|hand(s|ed)? (on|back)|night watch|the usual one|leaves the house|studio|catalogue|licence|colour|grey|behaviour"
    r"|resynthesis(e|ed|ing)"
    r"|cancelled|normalis(e|ed|ing)|quantis(e|ed|ing)|neighbour|centred)\b",
    re.IGNORECASE,
)
# Identifiers are split at their underscores, so that `drawn_at` and `test_a_drawing` are found as well.
IDENTIFIER = re.compile(r"(?<=[a-z])(?=[A-Z])|_")
LISTED = (
    *("*.py", "*.md", "*.toml", "*.yml", "*.yaml", "*.sql", "*.sh", "*.tpl", "*.html", "*.j2", "Makefile"),
    *(".env.example", "docker/Dockerfile", "docker/grafana/*.json", ".ci/run"),
)
# Names of others: PIL, hypothesis, anyio, the account that servers run as, a domain, a vendor's status; and this list.
EXEMPT_FILES = ("CHANGELOG.md", "docs/glossary.md", "tests/test_words.py", "attribution/evidence/products.toml")
EXEMPT_LINES = re.compile(r"ImageDraw|DrawFn|\"nobody\"|nobody@|nightcafe\.studio|\"cancelled\"|cancelled_caught")


def test_retired_words_are_gone() -> None:
    """No code, test, setting or page has one."""
    listed = subprocess.run(["git", "ls-files", *LISTED], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name in listed.stdout.splitlines()
        if name not in EXEMPT_FILES
        for number, line in enumerate((REPOSITORY / name).read_text().splitlines(), 1)
        if RETIRED.search(IDENTIFIER.sub(" ", line)) and not EXEMPT_LINES.search(line)
    ]
    assert not found, f"{len(found)} lines:\n" + "\n".join(found[:40])
