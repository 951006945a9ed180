"""The benchmark of exported models lists a dataset's images and lays runtimes side by side."""

import re

import torch
from toy_folders import mvtec_folder

from benchmarks.export import listed, table


def test_runtimes_stand_beside_torch():
    images = torch.rand(3, 3, 8, 8)
    found = {"torch": lambda few: few.mean(axis=(1, 2, 3)), "other": lambda few: few.mean(axis=(1, 2, 3)) * 1.01}
    lines = list(table(found, images.float(), repeats=1))
    assert lines[:2] == ["| images at once | torch | other |", "|---|---|---|"]
    assert [re.match(r"\| (\d+) \| [\d.]+ ms \| [\d.]+ ms \|$", line)[1] for line in lines[2:4]] == ["1", "3"]
    assert lines[4] == "| scores, largest relative difference | 0.0e+00 | 1.0e-02 |"


def test_a_category_alone_is_a_folder_too(tmp_path):
    mvtec_folder(tmp_path, "bolt")
    mvtec_folder(tmp_path, "nut")
    (of_one, of_both) = (listed(folder, "train") for folder in (tmp_path / "bolt", tmp_path))
    assert {record.category for record in of_one} == {"bolt"}
    assert {record.category for record in of_both} == {"bolt", "nut"}
