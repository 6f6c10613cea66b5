"""Reads a page as a browser would, and refuses what a report must not have."""

from html.parser import HTMLParser

EMPTY = {"img", "meta", "link"}


class Reading(HTMLParser):
    """Ids, links, images and words; fails at tags that do not close, scripts, and addresses elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert not self.open
        assert len(self.ids) == len(set(self.ids))
        assert {target.removeprefix("#") for target in self.links} <= set(self.ids)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Nothing runs, nothing is loaded."""
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        attributes = {name: value or "" for name, value in attrs}
        assert not [name for name in attributes if name.startswith("on") or name == "srcset"]
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        assert attributes.get("href", "#").startswith("#")
        if tag not in EMPTY:
            self.open.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        self.images += [attributes["src"].partition(",")[2]] if "src" in attributes else []

    def handle_endtag(self, tag: str) -> None:
        """The one that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """What is read, and the style, which loads nothing either."""
        if self.open and self.open[-1] == "style":
            assert "url(" not in data
            assert "@import" not in data
        else:
            self.words += data
