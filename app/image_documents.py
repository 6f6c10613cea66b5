"""What callers read about a query image: the file, what makes an answer less certain, and what it says of itself."""

from pydantic import Field

from app.document_base import Document
from attribution.evidence.finding import Kind, Trust


class ImageDocument(Document):
    """The query image as intake understood it."""

    format: str = Field(
        description="what the content decoded as, e.g. PNG; the file's name does not count", examples=["PNG"]
    )
    width: int = Field(description="pixels, after orientation")
    height: int = Field(description="pixels, after orientation")
    frames: int = Field(description="1 for a still; `input_quality` says which one is compared")
    sha256: str = Field(description="of the bytes as uploaded")
    size: int = Field(description="bytes as uploaded")


class BorderDocument(Document):
    """A border of one color, in pixels of the image as uploaded."""

    left: int
    top: int
    right: int
    bottom: int
    color: str = Field(examples=["#000000"])


class InputQualityDocument(Document):
    """What about the query image makes an answer less certain."""

    width: int = Field(description="pixels of the frame that is compared, after orientation")
    height: int
    frames: int
    frame: int = Field(description="the frame or page that is compared, from 1: the first that shows something")
    blank: bool = Field(description="whether it shows nothing; nothing is generated then")
    transparent: bool = Field(description="whether it has transparent parts")
    ground: str | None = Field(description="the color on which transparent parts were put", examples=["white"])
    jpeg_quality: int | None = Field(description="1 to 100, by the tables in the file; null for other formats")
    enlarged: bool = Field(description="whether it has no fine detail, as after enlarging")
    border: BorderDocument | None
    cropped: bool = Field(description="whether the border was cut off before the image was compared")
    same_answer: float | None = Field(
        description="the share of answers that stayed the same after a distortion like those found, in "
        "docs/benchmark.md, the smallest one; null where nothing that was measured is found"
    )
    notes: list[str] = Field(description="sentences about what was found")


class FindingDocument(Document):
    """One thing that the image itself says about its origin. It never changes a distance or the ranking."""

    kind: Kind
    where: str = Field(examples=["C2PA manifest"])
    claim: str = Field(description="what is said, as a sentence")
    trust: Trust = Field(
        description="`verified`: signed by an issuer on this installation's list; `untrusted_issuer`: signed, by "
        "any issuer; `unverified_signature`, `tampered`: a signature that proves nothing; `self_declared`: unprotected "
        "text or pixels; `weak`: a hint; `unreadable`: something is there, or may be, that could not be read"
    )
    caveat: str = Field(description="why it can be believed only so far, as a sentence")
    generator: str | None = Field(description="the tool or maker that is named")
    model: str | None
    source_type: str | None = Field(
        description="IPTC's code for the digital source type", examples=["trainedAlgorithmicMedia"]
    )
    says_ai: bool = Field(description="whether it says that a generative model took part")
    prompt_present: bool = Field(description="whether a prompt is there too; it is never copied")
    details: dict[str, str] = Field(description="what else is said, e.g. `seed`, `steps`, `model_hash`, `issuer`")
