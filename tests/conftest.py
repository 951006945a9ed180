"""What several test modules share."""

import huggingface_hub
import pytest

from patchcore_core import weights


@pytest.fixture(autouse=True, scope="session")
def nothing_from_outside(tmp_path_factory):
    """No network, no cache of weights and no setting of the machine that runs the tests has a say in them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(weights.WEIGHTS_VARIABLE, raising=False)
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
        patch.setattr(weights, "_reachable", lambda url: False)
        yield
