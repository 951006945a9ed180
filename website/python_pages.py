"""Which modules the reference of Python describes; MkDocs reads their docstrings."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
OPTIONS = "{show_root_heading: false, show_root_toc_entry: false}"  # the heading is the page's own
# Of the suite, what users call; the rest is for those who change it, and is read in the code.
SUITE = (
    "patchcore_suite.parts.fitting",
    "patchcore_suite.parts.model",
    "patchcore_suite.parts.thresholds",
    "patchcore_suite.parts.export",
    "patchcore_suite.baselines.registry",
    "patchcore_suite.baselines.config",
    "patchcore_suite.settings.project",
    "patchcore_suite.run.score",
    "patchcore_suite.run.evaluate",
)


def core_page() -> str:
    """The core, module by module."""
    paths = [path.relative_to(ROOT) for path in ROOT.glob("patchcore_core/**/*.py") if path.stem != "__init__"]
    paths.sort(key=lambda path: (path.stem != "patchcore", path.stem != "config", len(path.parts), path))
    modules = [".".join(path.with_suffix("").parts) for path in paths if "fast" not in path.parts]
    return page("patchcore_core", "The algorithm, its networks and metrics.", modules)


def suite_page() -> str:
    """What one calls of the suite."""
    return page("patchcore_suite", "What one calls of the suite; the design names all of its rooms.", SUITE)


def page(title: str, said: str, modules: list[str] | tuple[str, ...]) -> str:
    """Modules under a heading."""
    described = "\n\n".join(
        f"## {module.removeprefix(title).lstrip('.')}\n\n`{module}`\n\n::: {module}\n    options: {OPTIONS}"
        for module in modules
    )
    return f"# {title}\n\n{said}\n\n{described}\n"
