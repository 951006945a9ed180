import pytest
from toy_folders import mvtec_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A category in MVTec AD's layout."""
    root = tmp_path_factory.mktemp("parts")
    mvtec_folder(root, "bolt")
    return root / "bolt"
