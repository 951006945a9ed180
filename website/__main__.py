"""Build the site, strictly, and check that every link of it leads somewhere and that no page fetches anything.

python -m website [--to FOLDER]
"""

import argparse
import logging
import sys
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from patchcore_core.common.errors import InputError, exit_on_input_error
from website.links import problems

ROOT = Path(__file__).parents[1]


def main(arguments: list[str] | None = None) -> None:
    """Write the site."""
    parser = argparse.ArgumentParser(prog="python -m website", description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=ROOT / "reports/site", help="folder of the site [reports/site]")
    site = parser.parse_args(arguments).to
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(site.absolute()))
    try:
        build(config)
    except Abort as error:
        raise InputError(f"the site is not built: {error}", remedy="mend what is warned of above") from None
    found = problems(site)
    if found:
        raise InputError(f"{len(found)} links of the site", offenders=found, remedy="mend them in the documents")
    print(f"docs: {len(list(site.rglob('*.html')))} pages; open {site / 'index.html'}", file=sys.stderr)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
