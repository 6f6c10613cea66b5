"""Hash lists as the tools of ThreatExchange write them are read; errors in a bad file are listed line by line."""

import pytest

from app.errors import InvalidRequest
from app.screening.hash_csv import HashFile, HashRow

A, B, C = (digit * 64 for digit in "abc")


def read(text: str | bytes) -> list[HashRow]:
    """The rows of a file."""
    data = text.encode() if isinstance(text, str) else text
    return list(HashFile(data.splitlines(keepends=True)).rows())


def mistakes(text: str | bytes) -> list[str]:
    """What a file is refused for."""
    with pytest.raises(InvalidRequest) as refused:
        read(text)
    return [error["detail"] for error in refused.value.extensions["errors"]]


@pytest.mark.parametrize(
    "text",
    [
        f"{A}\n{B}\n",
        f"{A}\r\n{B}",
        f"\ufeff{A}\n\n   \n{B}\n",
        f"{A.upper()},2880742865368386,2020-07-31T18:47:52+0000\n{B},1,2020-07-31T18:47:52+0000\n",
        f"hash\n{A}\n{B}\n",
        f"\ufeffid,Indicator ,type\n1,{A},HASH_PDQ\n2, {B} ,pdq\n",
        f"pdq_hash,file\n{A},a.jpg\n{B},b.jpg\n",
        f'"signal_str","note"\n"{A}","two\nlines"\n"{B}",\n',
    ],
)
def test_the_hash_is_found_in_its_column(text: str) -> None:
    """With and without a header, a byte order mark, empty lines, spaces, quotes and capital letters."""
    assert [row.pdq.hex() for row in read(text)] == [A, B]


@pytest.mark.parametrize(
    "text",
    [
        f"{A},99244958314735,2021-05-07T18:07:52+0000,disputed media_type_photo\n",
        f"collab,signal_type,signal_str,category,tags\nsample,pdq,{A},NEGATIVE_CLASS,disputed media_type_photo\n",
    ],
)
def test_tags_are_kept(text: str) -> None:
    """Of python-threatexchange's files, the old ones and those of `threatexchange dataset -P --csv`."""
    assert read(text) == [HashRow(bytes.fromhex(A), ("disputed", "media_type_photo"))]


def test_lines_about_something_else_are_left_out_and_counted() -> None:
    """Hashes of other kinds, and of images with too few features to be distinguished."""
    text = f"type,hash,quality\nvideo_md5,abc,\npdq,{A},49\npdq,{B},50\npdq,{C},\n"
    file = HashFile(text.encode().splitlines())
    assert [row.pdq.hex() for row in file.rows()] == [B, C]
    assert (file.other_types, file.low_quality) == (1, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["there is no PDQ hash in it"]),
        ("hash\n", ["there is no PDQ hash in it"]),
        ("type,hash\nmd5,abc\n", ["there is no PDQ hash in it"]),
        ("name,color\nsky,blue\n", ["line 1: this is neither a hash nor a header"]),
        (f"{A[1:]}\n{B}\n", ["line 1: this is neither a hash nor a header"]),
        (f"{A}\n{B}0\n{C}\nnonsense\n", ["line 2: 'bbb", "line 4: 'nonsense' is not a PDQ hash"]),
        (f"hash,quality\n{A},good\n", ["line 2: 'good' is not a quality"]),
        (f"hash,tags\n{A},{'t ' * 33}\n", ["line 2: there are more than 32 tags"]),
        (f"{A}\n".encode() + b"\xff\xfe\n", ["line 2: the text is not UTF-8"]),
        (f"{A}\n\0\n", ["line 2: the text contains NUL"]),
        (f"{A}\n{'x' * 200_000}\n", ["line 2: field larger than field limit"]),
    ],
)
def test_errors_are_listed_with_their_lines(text: str | bytes, said: list[str]) -> None:
    """Every one of them, up to the point from which nothing can be understood."""
    found = mistakes(text)
    assert len(found) == len(said)
    assert all(start in line for start, line in zip(said, found, strict=True)), found


def test_the_list_of_errors_has_an_end() -> None:
    """The first twenty are enough to see what is wrong with the file."""
    assert len(mistakes(f"{A}\n" + "wrong\n" * 1_000)) == 20
