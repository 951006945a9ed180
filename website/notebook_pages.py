"""Notebooks as pages of the site: prose, equations, code, and what it showed when the pipeline ran it."""

import base64
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from patchcore_suite.run.equations import mathml

EQUATION = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$\n]+)\$", re.DOTALL)
FENCED = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def executed_or_not(path: Path) -> Path:
    """The notebook as it was run, or else as it is written; of those that run for each dataset, the first."""
    runs = sorted(path.parents[1].glob(f"reports/executed/{path.stem}.ipynb"))
    runs += sorted(path.parents[1].glob(f"reports/executed/{path.stem}@*.ipynb"))
    return runs[0] if runs else path


def as_markdown(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as a document, and its pictures by their file names."""
    notebook = nbformat.read(path, as_version=4)
    parts, pictures = [], {}
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            parts.append(with_equations(cell.source))
            continue
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        parts.append(f"````python\n{cell.source}\n````")
        for place, output in enumerate(cell.outputs):
            name = f"{path.stem.replace('@', '-')}-{number}-{place}.png"
            text, picture = shown(output, name)
            parts.append(text)
            if picture is not None:
                pictures[name] = picture
    if not any(cell.get("outputs") for cell in notebook.cells):
        parts.insert(
            1, "*Not run here: `make repro` runs the notebooks of the pipeline, `make lab` opens all of them.*"
        )
    return "\n\n".join(parts), pictures


def shown(output: NotebookNode, name: str) -> tuple[str, bytes | None]:
    """What a cell printed or showed, and its picture, to be called `name`."""
    data = output.get("data", {})
    if "image/png" in data:
        return f"![]({name})", base64.b64decode(data["image/png"])
    if "text/html" in data:
        return f'<div class="output">{re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.DOTALL)}</div>', None
    if "text/markdown" in data:
        return with_equations(data["text/markdown"]), None
    text = data.get("text/plain") or output.get("text") or "\n".join(output.get("traceback", []))
    return f"````text\n{text.rstrip()}\n````" if text.strip() else "", None


def with_equations(markdown: str) -> str:
    """A document whose equations need no script; what stands in code is left alone."""

    def replaced(found: re.Match[str]) -> str:
        block, inline = found.groups()
        return f"\n\n{mathml(block, block=True)}\n\n" if block else mathml(inline)

    parts = FENCED.split(markdown)
    return "".join(part if number % 2 else EQUATION.sub(replaced, part) for number, part in enumerate(parts))
