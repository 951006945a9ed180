"""Stand-ins for datasets: drawn from a seed, in the layouts of the originals.

A module of this folder that is called like a layout draws what stands in for its dataset: `jobs(seed)`.

They let the whole suite run, and be tested, where no dataset can be downloaded. They are no substitute for the real
ones: a score on them says that the code works, not how well the method does.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path

from patchcore_core.common.errors import InputError
from patchcore_core.common.progress import progress_bar
from patchcore_suite.datasets.images import map_ahead
from patchcore_suite.datasets.spec import LAYOUTS

Job = Callable[[Path], None]  # writes a few files below the root it is given

DATASETS: Mapping[str, Callable[[int], Iterator[Job]]] = {
    name: import_module(f"{__name__}.{name}").jobs
    for name in LAYOUTS
    if Path(__file__).with_name(f"{name}.py").is_file()
}


def generate(dataset: str, root: Path, *, seed: int = 0) -> None:
    """Draw a whole stand-in dataset: the same bytes for the same seed, on every machine.

    The files are written beside `root` and moved there in one step: a killed run leaves nothing at `root`.

    Args:
        dataset: the name of a layout that has a stand-in.
        root: the folder to make; it may exist, if it is empty.
        seed: another seed gives other images of the same kind.

    Raises:
        InputError: there is no stand-in of that name, or `root` holds something.
    """
    if dataset not in DATASETS:
        raise InputError(
            f"There is no synthetic dataset {dataset!r}", offenders=[f"known: {name}" for name in sorted(DATASETS)]
        )
    root = Path(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{root} is in the way of the synthetic dataset", remedy="delete it or name another folder")
    root.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{root.name}."))
    try:
        jobs = list(DATASETS[dataset](seed))
        with progress_bar(len(jobs), f"drawing synthetic {dataset}", unit="job") as bar:
            for _ in map_ahead(lambda job: job(scratch), jobs, workers=os.cpu_count() or 1):
                bar.update(1)
        scratch.chmod(0o755)  # mkdtemp makes it readable by its owner alone
        scratch.replace(root)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
