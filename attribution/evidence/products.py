"""The products that files name as their maker, from products.toml, and how their names are recognized.

A name counts where makers are named: a program, a credit, a software agent. In prose, such as a description, it counts
only with the words of a signature ("Made with …"), because a prompt may contain any name.
"""

import functools
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_name("products.toml")
_SEARCHED = 20_000
# Between the words of a name.
_GAP = r"[ ._·・-]{0,2}"
_SIGNED = r"(?:made|created|generated|edited|designed|imagined|produced)\s{1,3}(?:with|by|using|in)\s{1,3}"
_VERSION = (
    r"(?:[ /:._-]{0,3}(?:v?\d[\w.+-]{0,20}|\[\w{1,12}\]|\([^)]{0,40}\)|pro|dev|schnell|ultra|fast|turbo|max|mini|lite"
    r"|kontext|image|images|ai|api|app|preview|standard|generator)){0,6}"
)
# Generators that sign a description in their own way.
_SIGNATURES = {
    "Midjourney": re.compile(r"\bJob ID: [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
}


@dataclass(frozen=True, slots=True)
class Product:
    """A product. `named` finds it where makers are named, `signed` in prose."""

    name: str
    vendor: str
    says_ai: bool
    source: str
    named: re.Pattern[str]
    signed: re.Pattern[str]


@functools.cache
def products() -> tuple[Product, ...]:
    """All of them; the file is read once."""
    table = tomllib.loads(_FILE.read_text())
    return tuple(_product(entry, table["sources"]) for entry in table["products"]["list"])


def known_generator(names: Iterable[str | None], prose: Iterable[str | None] = ()) -> str | None:
    """The first product that only generates images and is named in `names`, or signs in `prose`."""
    texts = [text[:_SEARCHED] for text in names if text]
    for text in texts:
        for product in _generators():
            if product.named.search(text):
                return product.name
    for text in [*texts, *(text[:_SEARCHED] for text in prose if text)]:
        for name, signature in _SIGNATURES.items():
            if signature.search(text):
                return name
        for product in _generators():
            if product.signed.search(text):
                return product.name
    return None


@functools.cache
def _generators() -> Sequence[Product]:
    return [product for product in products() if product.says_ai]


def _product(entry: dict[str, object], sources: dict[str, str]) -> Product:
    name, vendor, also = str(entry["name"]), str(entry["vendor"]), entry.get("also", [])
    assert isinstance(also, list)
    spellings = "|".join(_spelled(each) for each in (name, *also))
    named = "|".join(_bounded(each) for each in (name, *also))
    if entry.get("whole"):
        named = rf"^\s*(?:{_SIGNED})?(?:{re.escape(vendor)}[ ,:/]{{1,3}})?(?:{spellings}){_VERSION}\s*$"
    return Product(
        name,
        vendor,
        bool(entry["says_ai"]),
        sources[str(entry["source"])],
        re.compile(named, re.IGNORECASE),
        re.compile(rf"\b{_SIGNED}(?:{re.escape(vendor)}\s)?(?:{spellings})(?![A-Za-z])", re.IGNORECASE),
    )


def _bounded(name: str) -> str:
    """The name as a word of its own. Chinese has no blanks between words."""
    before = r"(?<![^\W_])" if name[0].isascii() else ""
    after = r"(?![^\W\d_])" if name[-1].isascii() else ""
    return before + _spelled(name) + after


def _spelled(name: str) -> str:
    """A pattern of the name's words with any gap between them."""
    return _GAP.join(re.escape(word) for word in re.split(r"[ ._·・-]+", name) if word)
