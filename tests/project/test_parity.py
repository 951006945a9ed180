"""What is said of ours beside another library's: nothing where both are equal, the difference where they are not."""

import sys

import numpy as np
import pytest
import torch

from benchmarks import parity
from benchmarks.peers import Peer

WORKER = """
import json, sys
import numpy as np
for line in sys.stdin:
    asked = json.loads(line)
    if asked["task"] == "double":
        np.save(f"{sys.argv[1]}/twice.npy", asked["by"] * np.load(f"{sys.argv[1]}/once.npy"))
    print(json.dumps({"version": "2.7", "written": ["twice"]}), flush=True)
"""


@pytest.fixture(scope="module")
def both():
    """Images, ours in the place of the other library's, and labels that it tells apart."""
    draw = torch.Generator().manual_seed(0)
    whole = {split: 0.5 * torch.rand(2, 3, 256, 256, generator=draw) for split in ("train", "test")}
    model = parity.normalising_as_anomalib(parity.ours_after(4)[0])
    features = parity.described(model, whole)
    model.fit_described([features["train"]])
    found = model.predict_described([features["test"]], (256, 256))
    nominal = features["train"].flatten(0, 2)
    theirs = {**whole, "nominal": nominal, "projected": nominal, "scores": found.scores, "maps": found.maps}
    labels = (found.scores == found.scores.max()).int().tolist()
    return whole, features["test"], theirs | {"picks": model.coreset_indices}, labels, model


def test_differences_are_over_the_largest_value_and_borders_are_left_out():
    assert parity.away(torch.tensor([1.0, -3.5]), torch.tensor([1.0, -4.0])) == "1.2e-01"
    maps = torch.arange(40 * 50).view(1, 40, 50)
    assert torch.equal(parity.inner(maps), maps[:, 16:24, 16:34])
    assert parity.table(["a", "b"], ["1", "2"]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.long
def test_equal_results_differ_by_nothing_and_others_are_told(both):
    whole, _, theirs, labels, _ = both
    count = len(theirs["picks"])
    told = dict(parity.stages(theirs, whole, labels))
    assert told.pop("images, from the files") == "0.00 of 255 levels at most, 0.00 on average"
    assert told.pop("image AUROC, ours and its") == "1.0000; 1.0000"
    assert next(said for name, said in told.items() if "selection" in name).endswith(
        f"of {count} picks; {count} in all"
    )
    assert float(told.pop("patch features, of its images")) > 0.01  # normalised as the network was trained
    assert [said for name, said in told.items() if "selection" not in name] == ["0.0e+00"] * 4
    other = theirs | {"scores": 2 * theirs["scores"], "train": whole["train"] + 0.1, "maps": theirs["maps"].clone()}
    other["maps"][:, 0] += 9 * theirs["maps"].max()
    told = dict(parity.stages(other, whole, labels))
    assert told["images, from the files"].startswith("25.50 of 255 levels at most, 12.75 on average")
    assert told["image scores, with its bank"] == "5.0e-01"
    assert float(told["maps, with its bank"]) > 0.5
    assert told["maps, without 16 pixels at the border"] == "0.0e+00"


@pytest.mark.long
def test_a_line_is_the_distance_from_the_other_librarys_results(both):
    _, test, theirs, labels, model = both
    line = parity._line("words", model, test, 256, theirs, labels)
    assert line == ["words", "0.0e+00", "0.0e+00", "0.0e+00", "1.0000"]
    other = theirs | {"scores": theirs["scores"] * torch.tensor([0.5, 1]), "maps": theirs["maps"] / 2}
    _, median, largest, maps, auroc = parity._line("words", model, test, 256, other, labels[::-1])
    assert (float(median), float(largest), float(maps)) == pytest.approx((0, 1, 1), abs=0.01)
    assert float(auroc) == 0


def test_a_peer_is_asked_for_arrays(tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    with Peer(sys.executable, {"once": np.ones(3)}, tmp_path / "worker.py") as peer:
        assert peer.name == "anomalib 2.7"
        assert peer.answer("double", {}, by=2)["twice"].tolist() == [2, 2, 2]
        assert peer.answer("double", {"once": torch.arange(3)}, by=3)["twice"].tolist() == [0, 3, 6]
        folder = peer.folder
    assert not folder.exists()
