"""Links between documents of the repository, as links between pages; and whether those of a site lead somewhere."""

import posixpath
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
FENCED = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def relinked(markdown: str, *, source: str, page: str, pages: Mapping[str, str]) -> str:
    """A document whose links to files lead to the pages that show them; a link to any other file becomes its text.

    Args:
        markdown: the document.
        source: its path in the repository.
        page: its path in the site.
        pages: for each file of the repository that the site shows, its path there.
    """

    def replaced(found: re.Match[str]) -> str:
        sign, text, target = found.groups()
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return found[0]
        shown = pages.get(posixpath.normpath(posixpath.join(posixpath.dirname(source), path)))
        if shown is None:
            return found[0] if sign else text  # a picture of the page's own
        address = posixpath.relpath(shown, posixpath.dirname(page) or ".")
        return f"{sign}[{text}]({address}{'#' + anchor if anchor else ''})"

    parts = FENCED.split(markdown)
    return "".join(part if number % 2 else LINK.sub(replaced, part) for number, part in enumerate(parts))


class Addresses(HTMLParser):
    """What a page links to, what it fetches, and the places in it that a link may name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what one element holds."""
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        for name in ("href", "src", "poster", "data"):
            if name in given:
                (self.links if tag == "a" else self.fetched).add(given[name])


def problems(site: Path) -> list[str]:
    """Links of a site that lead nowhere, and whatever its pages would fetch from a network."""
    found = []
    pages = {path: Addresses(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site)
        for address in sorted(page.links | page.fetched):
            parts = urlsplit(address)
            if parts.scheme == "data" or (parts.scheme in ("http", "https", "mailto") and address not in page.fetched):
                continue
            if parts.scheme or parts.netloc:
                found.append(f"{name} fetches {address}")
                continue
            home = site if parts.path.startswith("/") else path.parent
            target = home.joinpath(unquote(parts.path).lstrip("/")).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                found.append(f"{name}: nothing at {address}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                found.append(f"{name}: no such place: {address}")
    for sheet in sorted(site.rglob("*.css")):
        fetched = re.findall(
            r"url\([\"']?(https?:[^)\"']+)|@import [\"'](https?:[^\"']+)", sheet.read_text(encoding="utf-8")
        )
        found += [f"{sheet.relative_to(site)} fetches {''.join(address)}" for address in fetched]
    return found
