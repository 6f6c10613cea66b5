"""XMP, IPTC and EXIF: their findings, by format, and hostile packets."""

import pytest
from PIL.ExifTags import Base

from attribution.evidence.finding import Finding, Kind, Trust
from attribution.evidence.read import read
from attribution.evidence.vocabulary import SOURCE_TYPES
from tests.app.images import encoded, noise
from tests.attribution.evidence.files import SOURCE_TYPE, XMP, chunk, png_with, with_exif, with_iptc, with_xmp


def only(data: bytes) -> Finding:
    """The one finding."""
    (finding,) = read(data)
    return finding


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "TIFF"])
def test_a_digital_source_type_in_xmp_is_put_into_words(kind: str):
    """IPTC's URI, wherever the format keeps its packet."""
    attributes = f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}trainedAlgorithmicMedia"'
    finding = only(with_xmp(attributes, kind=kind))
    assert (finding.kind, finding.where, finding.trust) == (Kind.XMP, "XMP", Trust.SELF_DECLARED)
    assert finding.claim == "Says that the image was created by a generative AI model."
    assert (finding.source_type, finding.says_ai) == ("trainedAlgorithmicMedia", True)
    assert finding.caveat.startswith("Anyone can write")


def test_xmp_of_a_png_is_read_too():
    """It is an international text with a name of its own."""
    packet = XMP.format(attributes='xmp:CreatorTool="Adobe Firefly"', elements="").encode()
    finding = only(png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet), last=True))
    assert (finding.kind, finding.generator, finding.says_ai) == (Kind.XMP, "Adobe Firefly", True)


@pytest.mark.parametrize(
    "elements",
    [
        f"<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}digitalCapture</Iptc4xmpExt:DigitalSourceType>",
        f'<Iptc4xmpExt:DigitalSourceType rdf:resource="{SOURCE_TYPE}digitalCapture"/>',
        "<Iptc4xmpExt:DigitalSourceType>digitalCapture</Iptc4xmpExt:DigitalSourceType>",
    ],
)
def test_xmp_may_be_written_in_several_ways(elements: str):
    """As an element, as a resource, and with the bare code."""
    finding = only(with_xmp(elements=elements))
    assert (finding.source_type, finding.says_ai) == ("digitalCapture", False)


def test_googles_credit_line_is_known():
    """What Google writes into the credit."""
    finding = only(with_xmp('photoshop:Credit="Made with Google AI"'))
    assert (finding.generator, finding.says_ai) == ("Google AI", True)
    assert finding.details == (("credit", "Made with Google AI"),)


def test_iptcs_properties_for_ai_are_read_and_the_prompt_is_not_copied():
    """The system is named, the prompt is only noticed."""
    finding = only(
        with_xmp('Iptc4xmpExt:AISystemUsed="Generate Machine" Iptc4xmpExt:AIPromptInformation="a secret wish"')
    )
    assert (finding.generator, finding.says_ai, finding.prompt_present) == ("Generate Machine", True, True)
    assert "secret" not in repr(finding)


def test_an_unknown_source_type_is_shown_as_it_is():
    """Nothing is guessed from it."""
    finding = only(with_xmp('Iptc4xmpExt:DigitalSourceType="https://example.org/dreamt"'))
    assert (finding.source_type, finding.says_ai) == (None, False)
    assert finding.details == (("source_type", "https://example.org/dreamt"),)


@pytest.mark.parametrize(
    "packet",
    [
        '<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY d "&b;&b;&b;&b;&b;">]><a>&d;</a>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "<a><b></a>",
        "",
        "<a>" + "x" * 1_100_000 + "</a>",
    ],
    ids=["entities", "external-entity", "broken", "empty", "huge"],
)
def test_a_hostile_packet_is_unreadable(packet: str):
    """No entity is expanded, no file opened, nothing huge parsed."""
    finding = only(png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet.encode())))
    assert (finding.kind, finding.trust) == (Kind.XMP, Trust.UNREADABLE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_names_software_and_camera(kind: str):
    """Every format that has EXIF."""
    finding = only(with_exif({Base.Software: "Darkroom 7", Base.Make: "Lumen", Base.Model: "L1"}, kind=kind))
    assert (finding.kind, finding.trust, finding.generator) == (Kind.EXIF, Trust.SELF_DECLARED, "Darkroom 7")
    assert dict(finding.details) == {"software": "Darkroom 7", "make": "Lumen", "camera": "L1"}
    assert not finding.says_ai


def test_a_generator_in_exif_is_known():
    """By its name where makers stand; in a description only by what it signs with."""
    assert only(with_exif({Base.Software: "Midjourney"})).says_ai
    signed = "a hat --v 6 Job ID: 01234567-89ab-cdef-0123-456789abcdef"
    finding = only(with_exif({Base.ImageDescription: signed}))
    assert (finding.generator, finding.says_ai) == ("Midjourney", True)
    assert read(with_exif({Base.ImageDescription: "a hat in the style of Midjourney"})) == ()


def test_iptc_names_program_and_credit():
    """The older block, read from Photoshop's segment."""
    finding = only(with_iptc({(2, 65): b"Darkroom", (2, 80): b"Ada", (2, 110): b"Made with Google AI"}))
    assert (finding.kind, finding.generator, finding.says_ai) == (Kind.IPTC, "Google AI", True)
    assert dict(finding.details) == {"program": "Darkroom", "byline": "Ada", "credit": "Made with Google AI"}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_a_plain_file_says_nothing(kind: str):
    """No finding without a statement."""
    assert read(encoded(noise(), kind)) == ()


def test_every_source_type_reads_as_a_sentence():
    """The words follow `Says that the image`."""
    assert all(words.startswith(("is ", "was ")) for words in SOURCE_TYPES.values())
