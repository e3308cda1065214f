"""A strict reader of HTML pages, for tests of their structure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = ("meta", "link", "img", "br", "hr", "input", "source")


@dataclass
class Element:
    """An element, its attributes and all text in it."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    parent: "Element | None" = None
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def all(self, *tags: str) -> Iterator["Element"]:
        """The elements inside, in the page's order, all or of these tags."""
        for child in self.children:
            if not tags or child.tag in tags:
                yield child
            yield from child.all(*tags)

    def first(self, tag: str) -> "Element":
        """The first element inside of this tag."""
        return next(self.all(tag))

    def has(self, style: str) -> bool:
        """Whether the element has this class."""
        return style in self.attributes.get("class", "").split()

    def within(self, tag: str, style: str = "") -> bool:
        """Whether an element of this tag, and class, is around this one."""
        around = self.parent
        while around and not (around.tag == tag and (not style or around.has(style))):
            around = around.parent
        return around is not None


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.at = Element("")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"<{tag}> on line {self.getpos()[0]}: an attribute twice"
        element = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.children.append(element)
        if tag not in VOID:
            self.at = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.at.tag == tag, f"</{tag}> on line {self.getpos()[0]} closes <{self.at.tag}>"
        assert self.at.parent
        self.at = self.at.parent

    def handle_data(self, data: str) -> None:
        around: Element | None = self.at
        while around:
            around.text += data
            around = around.parent


def parsed(page: Path) -> Element:
    """The page, whose elements must be closed in order."""
    reader = _Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    reader.close()
    assert reader.at is reader.root, f"<{reader.at.tag}> is not closed"
    return reader.root
