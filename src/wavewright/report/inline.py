"""Put drawings into the page itself, so that they take the page's colours, in the light, in the dark and on paper."""

import re
from collections.abc import Callable
from itertools import count
from xml.etree import ElementTree

from wavewright.report.drawing import BLACK, BLUE, EDGE, GREY, GRID, ORANGE, TICK

SVG = "http://www.w3.org/2000/svg"
LINK = "{http://www.w3.org/1999/xlink}href"
NOT_DRAWN = ("metadata", "style")  # the page's style sheet has the one rule that a drawing needs
# Colours that would not be seen on a dark page. The others are seen on both.
PAGE_COLOURS = {
    BLACK: "currentColor",
    TICK: "var(--quiet)",
    EDGE: "var(--quiet)",
    GRID: "var(--line)",
    GREY: "var(--grey)",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
}
BY_NAME = {colour.lower(): shown for colour, shown in PAGE_COLOURS.items()}

ElementTree.register_namespace("", SVG)


def inliner() -> Callable[[str, str], str]:
    """Return a function that makes an element of the page from an SVG file's text and its description.

    The function keeps the names inside its drawings apart, since a page has each name once.
    """
    numbers = count(1)

    def inline(svg: str, description: str) -> str:
        root = ElementTree.fromstring(svg)
        _drop(root)
        _rename(root, f"f{next(numbers)}-")
        for element in root.iter():
            if style := element.get("style"):
                element.set("style", re.sub("#[0-9a-fA-F]{6}", lambda found: _of_page(found[0]), style))
        for name in ("width", "height", "version"):
            root.attrib.pop(name, None)
        root.attrib |= {"role": "img", "aria-label": description}
        return ElementTree.tostring(root, encoding="unicode")

    return inline


def _of_page(colour: str) -> str:
    return BY_NAME.get(colour.lower(), colour)


def _drop(element: ElementTree.Element) -> None:
    """Remove what is not drawn, and the line breaks between elements."""
    element.text = element.tail = None
    for child in list(element):
        if child.tag.removeprefix(f"{{{SVG}}}") in NOT_DRAWN:
            element.remove(child)
        else:
            _drop(child)


def _rename(root: ElementTree.Element, prefix: str) -> None:
    """Put `prefix` before the names that are referred to, and remove the others."""
    used: set[str] = set()
    for element in root.iter():
        if LINK in element.attrib:
            name = element.attrib.pop(LINK).removeprefix("#")
            used.add(name)
            element.set("href", f"#{prefix}{name}")
        for key, value in element.items():
            if found := re.fullmatch(r"url\(#(.*)\)", value):
                used.add(found[1])
                element.set(key, f"url(#{prefix}{found[1]})")
    for element in root.iter():
        name = element.attrib.pop("id", "")
        if name in used:
            element.set("id", prefix + name)
