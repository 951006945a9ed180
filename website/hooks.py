"""What MkDocs calls while it builds the site: which pages there are, and where their links lead."""

import logging
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from website.command_page import command_page
from website.links import relinked
from website.notebook_pages import as_markdown, executed_or_not
from website.python_pages import core_page, suite_page
from website.settings_page import settings_page

ROOT = Path(__file__).parents[1]
# Pages that lie outside docs/, by what they are called in the site.
OUTSIDE = {
    "index.md": "README.md",
    "data.md": "data/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "benchmarks.md": "reports/benchmarks.md",
}
MADE = {"command.md": command_page, "settings.md": settings_page, "core.md": core_page, "suite.md": suite_page}
CHART = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)

log = logging.getLogger("mkdocs.plugins.website")


def notebooks() -> dict[str, Path]:
    """Every notebook, by its page."""
    return {f"notebooks/{path.stem}.md": path for path in sorted(ROOT.glob("notebooks/*.ipynb"))}


def drawings() -> dict[str, Path]:
    """Every figure of what was measured, by its path in the repository, which it has in the site as well."""
    return {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.glob("measured/*.png"))}


def sources() -> dict[str, str]:
    """Which page shows a file of the repository."""
    pages = {path.relative_to(ROOT).as_posix(): path.name for path in ROOT.glob("docs/*")}
    pages |= {name: name for name in drawings()}
    pages |= {source: page for page, source in OUTSIDE.items()}
    return pages | {path.relative_to(ROOT).as_posix(): page for page, path in notebooks().items()}


def on_config(config: MkDocsConfig) -> None:
    """List the notebooks."""
    (listed,) = [part for part in config.nav if "Notebooks" in part]
    listed["Notebooks"] = list(notebooks())


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that do not lie in docs/."""
    for page, source in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for page, make in MADE.items():
        files.append(File.generated(config, page, content=make()))
    for name, path in drawings().items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    for name in ("site.css", "iframe-worker.js"):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / "website" / name)))
    for page, path in notebooks().items():
        text, pictures = as_markdown(executed_or_not(path))
        files.append(File.generated(config, page, content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to pages of the site, and draw charts without a script."""
    pages = sources()
    source = next((name for name, shown in pages.items() if shown == page.file.src_uri), page.file.src_uri)
    return relinked(CHART.sub(as_stack, markdown), source=source, page=page.file.src_uri, pages=pages)


def as_stack(found: re.Match[str]) -> str:
    """A flow chart of things that stand on each other, the last one on top."""
    labels = re.findall(r'\["(.*?)"\]', found[1])
    if len(labels) != found[1].count("-->") + 1:
        log.warning("a chart is no chain, and is shown as text: %s", found[1].splitlines()[0])
        return found[0]
    boxes = "".join(f"<li>{label}</li>" for label in reversed(labels))
    return f'<ol class="stack">{boxes}</ol>'
