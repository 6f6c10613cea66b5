"""Writes docs/vendors.md from the contracts that tests hold every adapter to: `python docs/generate_vendors.py`.

With `--check` it writes nothing and fails when the file is not what it would write; a test does the same.
"""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from attribution.resynthesis.remote.keys import setting_of  # noqa: E402 - found only now, wherever this is started
from attribution.resynthesis.remote.vendor import Vendor  # noqa: E402
from attribution.resynthesis.remote.vendors import vendor_named  # noqa: E402
from tests.attribution.resynthesis.remote.contract import Case, Contract  # noqa: E402
from tests.attribution.resynthesis.remote.contracts import contracts  # noqa: E402

TARGET = REPOSITORY / "docs" / "vendors.md"
HEAD = """\
# Vendors

Written by `docs/generate_vendors.py` from the contracts that the tests run; change those, not this file.

No vendor was called while this was built. Every adapter is held to what its vendor documents by a stub that speaks
that contract over real HTTP (`python -m stub_vendors`), and where a vendor has an SDK for Python, that SDK must
understand the stub, too. `passed` means that a test runs the case and finds the right state, the right number of billed
images, one order, and no key anywhere but at the vendor's own addresses. `make demo-remote` runs a whole job against
stubs.
"""
CASES = """\
| case | what happens | state |
|---|---|---|
| ok | a generated image | `done` |
| seed | the same seed gives the same generated image, and is recorded as the vendor repeats it | `done` |
| refused prompt | the vendor will not generate the caption; it is not asked again | `refused_prompt` |
| refused output | it generated, and withheld or blanked the image | `refused_output` |
| rate limited | it says how long to wait, and that is told to whoever waits | `rate_limited` |
| quota | the operator's account is used up | `quota` |
| timeout | the order is taken and nothing comes of it before the deadline | `timeout` |
| 5xx | its server fails | `unavailable` |
| broken image | the image is cut off | `error` |
| slow | a generated image that takes its time, within the deadline | `done` |
| expired URL | the image's address no longer holds it | `error` |
| wrong key | the key is not accepted | `unavailable` |
| HTML | a page instead of an answer, with status 200 | `error` |
| foreign URL | an address to poll or fetch that is not the vendor's: no key goes there | `error` |
"""


def document() -> str:
    """The whole file."""
    parts = [
        HEAD,
        "## What is tested\n",
        _table(),
        _reasons(),
        "## The cases\n",
        CASES,
        "## The adapters\n",
        _adapters(),
    ]
    return "\n".join(parts)


def _table() -> str:
    lines = ["| adapter | " + " | ".join(Case) + " |", "|---" * (len(Case) + 1) + "|"]
    lines += [
        "| " + " | ".join([f"`{contract.adapter}`", *(_cell(contract, case) for case in Case)]) + " |"
        for contract in contracts()
    ]
    return "\n".join(lines) + "\n"


def _cell(contract: Contract, case: Case) -> str:
    return "n/a" if case in contract.not_applicable else "passed"


def _reasons() -> str:
    lines = ["Not applicable (n/a):\n"]
    lines += [
        f"- `{contract.adapter}`, {case}: {reason}."
        for contract in contracts()
        for case, reason in contract.not_applicable.items()
    ]
    return "\n".join(lines) + "\n"


def _adapters() -> str:
    lines = [
        "A catalog file names the adapter, and in `[parameters]` what else the source needs: `key`, the name of the",
        "key in the settings, where it is not the vendor's own; `base_url`, where it is served elsewhere. A vendor's",
        "own key goes to no other base URL unless `key` says so.\n",
        "| adapter | vendor | base URL | key | longest prompt | seeds | parameters |",
        "|---|---|---|---|---|---|---|",
    ]
    for contract in contracts():
        kind = vendor_named(contract.adapter)
        vendor = kind(contract.model, contract.parameters)
        cells = [
            f"`{contract.adapter}`",
            contract.title,
            f"`{vendor.base_url}`" if vendor.base_url else "needed",
            _key(kind),
            f"{kind.max_prompt:,}" if kind.max_prompt else "not known",
            f"0 to {vendor.seed_limit:,}" if vendor.seed_limit else "none; generate more than one (γ > 1)",
            ", ".join(f"`{name}`" for name in kind.options) or "none",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _key(kind: type[Vendor]) -> str:
    if kind.key is None:
        return "none, unless `key` names one"
    holds = f": {kind.key_holds}" if kind.key_holds else ""
    return f"`{setting_of(kind.key)}`{holds}"


def main(arguments: list[str]) -> int:
    """Writes or checks; the exit code is 1 where a check fails."""
    text = document()
    if "--check" not in arguments:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    print("docs/vendors.md is out of date; run: python docs/generate_vendors.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
