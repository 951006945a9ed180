import numpy as np
import pytest
import torch

from patchcore_core.common.errors import InputError
from patchcore_core.coreset import greedy_coreset
from patchcore_suite.shards import ray_actors
from patchcore_suite.shards.files import RowFile
from patchcore_suite.shards.greedy import greedy_over_shards


def test_without_ray_or_before_it_was_started_the_remedy_is_told(monkeypatch):
    if ray_actors.ray is not None:
        with pytest.raises(InputError, match="Ray was not started"), ray_actors.actors([]):
            pass
    monkeypatch.setattr(ray_actors, "ray", None)
    with pytest.raises(InputError, match=r"pip install '\.\[ray\]'"), ray_actors.actors([]):
        pass


@pytest.mark.slow
def test_actors_pick_as_one_machine(tmp_path):
    ray = pytest.importorskip("ray", reason="Ray is not installed: the extra `ray`")
    rows = torch.randn(700, 8, generator=torch.Generator().manual_seed(1))
    np.save(tmp_path / "rows.npy", rows.numpy())
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        with ray_actors.actors(RowFile.of_array(tmp_path / "rows.npy").divided(2)) as carrier:
            found = greedy_over_shards(carrier, 90, start=3)
            with pytest.raises(InputError, match="shard of rows 0 to 349"):
                carrier.ask_each("sample", [(0,), (1,)])
    finally:
        ray.shutdown()
    assert torch.equal(found.picks, greedy_coreset(rows, 90, start=3))
