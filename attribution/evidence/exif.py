"""EXIF: who made the file, by its own account, and the comment in which some generators keep their parameters."""

from PIL.ExifTags import IFD, Base
from PIL.Image import Exif

from attribution.evidence.finding import SELF_DECLARED, Finding, Kind, Trust, clean, pairs
from attribution.evidence.vocabulary import known_generator, sentence

_TEXT_TAGS = (Base.ImageDescription, Base.Make, Base.Model, Base.Software, Base.Artist)
# ComfyUI puts its JSON into Make and Model of a WebP file, behind these words.
_PREFIXES = ("prompt", "workflow")


def exif_texts(exif: Exif) -> tuple[tuple[str, str], ...]:
    """(keyword, text) of what may be a generator's parameters."""
    tags = _texts(exif)
    found = [("parameters", tags[Base.UserComment])] if Base.UserComment in tags else []
    for text in tags.values():
        keyword, _, rest = text.partition(":")
        if keyword.lower() in _PREFIXES:
            found.append((keyword.lower(), rest))
    return tuple(found)


def exif_findings(exif: Exif) -> tuple[Finding, ...]:
    """At most one finding; none where nothing names a maker."""
    tags = {tag: text for tag, text in _texts(exif).items() if text.partition(":")[0].lower() not in _PREFIXES}
    details = pairs(
        software=tags.get(Base.Software),
        make=tags.get(Base.Make),
        camera=tags.get(Base.Model),
        artist=tags.get(Base.Artist),
    )
    known = known_generator(
        map(tags.get, (Base.Software, Base.Artist, Base.Make)), map(tags.get, (Base.ImageDescription, Base.UserComment))
    )
    if not details and not known:
        return ()
    generator = known or clean(tags.get(Base.Software)) or None
    named = generator or clean(" ".join(text for name, text in details if name in ("make", "camera"))) or None
    return (
        Finding(
            Kind.EXIF,
            "EXIF",
            sentence(named),
            Trust.SELF_DECLARED,
            SELF_DECLARED,
            generator=generator,
            says_ai=known is not None,
            details=details,
        ),
    )


def _texts(exif: Exif) -> dict[int, str]:
    """The texts by tag, the user comment among them."""
    found: dict[int, str] = {
        tag: value for tag in _TEXT_TAGS if isinstance(value := exif.get(tag), str) and value.strip("\0 ")
    }
    comment = exif.get_ifd(IFD.Exif).get(Base.UserComment)
    if isinstance(comment, bytes):
        comment = _user_comment(comment)
    if isinstance(comment, str) and comment.strip("\0 "):
        found[Base.UserComment] = comment
    return found


def _user_comment(data: bytes) -> str:
    """The comment behind its eight bytes of character code; UTF-16 comes in either order, whatever the file's is."""
    code, text = data[:8], data[8:]
    if code == b"UNICODE\0":
        little = text[1::2].count(0) > text[::2].count(0)
        return text.decode("utf-16-le" if little else "utf-16-be", "replace")
    return (text if code in (b"ASCII\0\0\0", bytes(8)) else data).decode("utf-8", "replace")
