import pytest
from short_stand_ins import draw

from patchcore_suite.datasets import synthetic


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A folder with the stand-ins of all layouts, shortened; the files it has are those of the whole ones."""
    root = tmp_path_factory.mktemp("synthetic")
    for dataset in synthetic.DATASETS:
        draw(dataset, root / dataset)
    return root
