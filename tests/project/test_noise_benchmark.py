from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import noise, noise_files, noise_tables
from patchcore_core import InputError, PatchCoreConfig
from patchcore_suite.datasets.records import Record
from patchcore_suite.report.measured import Measured


def record(number, split, label):
    defect = "scratch" if label else "good"
    return Record(Path(f"{split}/{defect}/{number:02}.png"), "nut", split, label, defect)


@pytest.fixture(scope="module")
def images():
    """8 nominal training images, 4 nominal and 10 anomalous test images, described by 4 x 4 patches."""
    records = [record(number, "train", 0) for number in range(8)] + [record(number, "test", 0) for number in range(4)]
    records += [record(number, "test", 1) for number in range(10)]
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(len(records), 4, 4, 6, generator=draw)
    masks = np.zeros((len(records), 160, 160), dtype=bool)  # as many nominal pixels as AUPIMO needs
    features[12:, 1, 1] += 20
    masks[12:, 40:80, 40:80] = True
    return noise.Images("nut", records, features, masks)


def test_what_is_moved_is_trained_with_and_tested_at_no_level(images):
    train, test = images.places(0.2, 0, "train"), images.places(0.4, 0, "test")
    assert [images.records[place].label for place in train] == [0] * 8 + [1] * 2
    assert not set(train) & set(test)
    assert len(test) == 4 + 6


def test_of_every_second_training_image_half_are_left_of_each_kind(images):
    half = noise.Images(images.name, images.records, images.features, images.masks, every=2)
    assert half.places(0.4, 0, "train") == [0, 2, 4, 6, *images.places(0.4, 0, "train")[8::2]]
    assert half.places(0.4, 0, "test") == images.places(0.4, 0, "test")


def test_defects_are_found_by_a_bank_that_has_none_of_them(images):
    found = noise.measured(images, PatchCoreConfig(coreset_fraction=0.5), noise=0, most=0.4, seed=0)
    assert found["image_auroc"] == 1
    assert found["aupimo"] > 0.5


def rows_of(network="small", every=1, **of_methods):
    """A row a method, level and seed, from {method: {level: [a value a seed]}}."""
    rows = [
        {
            "network": network,
            "every": every,
            "variant": name,
            "method": "patchcore",
            "noise": level,
            "seed": seed,
            "train": 10,
            "moved": int(100 * level),
        }
        | {metric: value for metric in noise_tables.METRICS}
        for name, levels in of_methods.items()
        for level, values in levels.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


LOSING = rows_of(
    good={0: [0.8, 0.9, 0.85], 0.2: [0.8, 0.9, 0.85]}, bad={0: [0.91, 0.9, 0.92], 0.2: [0.71, 0.7, 0.73]}
)  # fmt: skip


def test_claims_say_who_loses_least_and_which_losses_are_beyond_their_interval():
    least, best = noise_tables.claims(LOSING, "aupimo", "small")
    assert least.startswith(
        "With small and 20 % of the anomalous images among the training images *good* loses least of AUPIMO"
    )
    assert "*good* 0.0 (+0.0 to +0.0), *bad* +19.7 (+18.2 to +21.1)." in least
    assert least.endswith("By these intervals there is a loss of *bad*.")
    assert best.endswith("0 %: *bad* (91.0); 20 %: *good* (85.0).")


def test_nothing_is_claimed_of_a_metric_that_has_nothing_to_lose():
    low = rows_of(good={0: [0.05, 0.03], 0.2: [0.01, 0.01]}, bad={0: [0, 0], 0.2: [0.02, 0]})
    assert noise_tables.claims(low, "aupimo", "small") == [
        "With small AUPIMO is low with every method even at 0 % (4.0 at most): no claim."
    ]


def test_the_table_has_a_column_a_level_and_what_is_lost():
    table = noise_tables.table(LOSING, "image_auroc").map(str)
    assert table.to_numpy().tolist() == [
        ["small", "good", "85.0 ± 5.0", "85.0 ± 5.0", "0.0", "+0.0 to +0.0"],
        ["small", "bad", "91.0 ± 1.0", "71.3 ± 1.5", "+19.7", "+18.2 to +21.1"],
    ]


@pytest.fixture
def weights(monkeypatch):
    def found(name):
        return SimpleNamespace(sha256=f"of {name}", origin="here")

    monkeypatch.setattr(noise_files, "backbone_weights", found)


def write(rows, folder, images="images"):
    noise_files.write(rows, noise_files.earlier(folder, "nut", images), "nut", images, folder)
    return Measured.read(folder / "nut_noise.json")


def test_results_are_written_as_what_was_measured(tmp_path, weights):
    read = write(LOSING.assign(every=2), tmp_path)
    assert read.stamp["images"] == {"nut": "images"}
    assert read.counts == (
        "`nut`, small: anomalous of the training images, by the share that was moved: 0 %: 0 of 10, 20 %: 20 of 10; "
        "of the training images every 2nd is used",
    )
    assert (tmp_path / "nut_noise.png").is_file()
    kept = pd.read_csv(tmp_path / "nut_noise.csv")
    assert kept.groupby(["variant", "noise", "metric"]).size().eq(3).all()


def test_networks_stand_beside_each_other_whichever_was_measured_first(tmp_path, weights, monkeypatch):
    monkeypatch.setattr(noise_tables, "curves", lambda rows, title: None)  # a second each
    alone = write(LOSING, tmp_path / "alone")
    large = rows_of("large", every=4, good={0: [0.7, 0.7, 0.7], 0.2: [0.6, 0.6, 0.6]})
    write(large, tmp_path)
    read = write(LOSING, tmp_path)
    table = read.blocks[1].frame
    assert table["network"].tolist() == ["large", "small", "small"]
    assert table.iloc[1:].map(str).to_numpy().tolist() == alone.blocks[1].frame.map(str).to_numpy().tolist()
    assert [claim.split()[1] for claim in read.blocks[1].claims] == ["large", "large", "small", "small"]
    assert [line.partition(":")[0] for line in read.counts] == ["`nut`, large", "`nut`, small"]
    assert read.stamp["weights"] == {"large": ["of large", "here"], "small": ["of small", "here"]}
    assert len(read.stamp["machines"]) == len(read.stamp["commits"]) == 1
    again = write(large.assign(aupimo=0.5, every=1), tmp_path)  # takes the place of what it was
    assert again.blocks[1].frame["0 %"].map(str).tolist()[0] == "50.0 ± 0.0"
    assert len(again.blocks[1].frame) == 3


def test_numbers_of_other_images_or_of_an_unknown_network_are_not_mixed(tmp_path, weights):
    write(LOSING, tmp_path)
    with pytest.raises(InputError, match="other images of nut"):
        noise_files.earlier(tmp_path, "nut", "others")
    unknown = replace(Measured.read(tmp_path / "nut_noise.json"), name="old_noise")
    values = pd.read_csv(tmp_path / "nut_noise.csv").drop(columns=["network", "every"])
    unknown.write(tmp_path, values)
    with pytest.raises(InputError, match=r"old_noise.csv lacks network, every"):
        noise_files.earlier(tmp_path, "old", "images")


def test_the_figure_has_a_panel_a_metric_and_network_and_the_same_colours_in_all():
    rows = pd.concat([LOSING, rows_of("a_large", good={0: [0.7], 0.2: [0.6]})], ignore_index=True)
    figure = noise_tables.curves(rows, title="nut")
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["image AUROC, small", "image AUROC, a_large", "AUPIMO, small", "AUPIMO, a_large"]
    shown = figure.axes[3].lines[0]
    assert (shown.get_xdata().tolist(), shown.get_ydata().tolist()) == ([0, 20], [0.7, 0.6])
    assert shown.get_color() == figure.axes[0].lines[0].get_color()
