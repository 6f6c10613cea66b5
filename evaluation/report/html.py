"""HTML by functions: whatever is not markup already is escaped."""

import html
from collections.abc import Iterable, Sequence

EMPTY = frozenset({"img", "meta", "link"})


class Html(str):
    """Text that is markup."""

    __slots__ = ()


def escaped(text: object) -> Html:
    """Markup as it is, everything else so that it shows as it is."""
    return text if isinstance(text, Html) else Html(html.escape(str(text)))


def element(tag: str, *children: object, **attributes: str) -> Html:
    """One element; of an attribute's name `_` at the end is dropped, so that `class_` can be said."""
    rendered = "".join(f' {name.rstrip("_")}="{html.escape(value)}"' for name, value in attributes.items())
    inside = "".join(map(escaped, children))
    return Html(f"<{tag}{rendered}>" if tag in EMPTY else f"<{tag}{rendered}>{inside}</{tag}>")


def joined(parts: Iterable[object], between: str = "\n") -> Html:
    """Parts one after another."""
    return Html(escaped(between).join(map(escaped, parts)))


def paragraph(*children: object) -> Html:
    """Some sentences."""
    return element("p", *children)


def code(text: object) -> Html:
    """What is typed, or the name of a thing."""
    return element("code", text)


def link(text: object, target: str) -> Html:
    """A link."""
    return element("a", text, href=target)


def table(head: Sequence[object], rows: Iterable[Sequence[object]], caption: str = "") -> Html:
    """The first column names the rows."""
    top = element("tr", *(element("th", cell, scope="col") for cell in head))
    body = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows
    ]
    above = [element("caption", caption)] if caption else []
    whole = element("table", *above, element("thead", top), element("tbody", joined(body)))
    return element("div", whole, class_="table")
