from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch
from toy_folders import save_image

from patchcore_core import InputError, PatchCore, PatchCoreConfig
from patchcore_core.detector import Detector, Prediction
from patchcore_suite.baselines.config import MeanImageConfig
from patchcore_suite.datasets.images import Batches
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.datasets.paper_counts import PAPER_COUNTS
from patchcore_suite.datasets.preprocessing import Preprocessing
from patchcore_suite.datasets.records import Record
from patchcore_suite.paper.inference_times import search_losses, times_beside_paper
from patchcore_suite.run import inference_times
from patchcore_suite.run.inference_times import System, fit_systems, summarise, time_inference, time_systems
from patchcore_suite.run.raw_results import RawResult, ScoreIndex
from patchcore_suite.settings.project import Project

PREPROCESSING = Preprocessing(resize=(16, 16))


def network(images):
    return [torch.nn.functional.avg_pool2d(images, 4)]


class Brightness(Detector):
    """Image scores only, and no search."""

    def describe(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [maps[0].mean(dim=(1, 2, 3))]

    def fit_described(self, nominal: Sequence[torch.Tensor]) -> "Brightness":
        self.mean = nominal[0].mean()
        return self

    def predict_described(self, test: Sequence[torch.Tensor], size: Sequence[int]) -> Prediction:
        return Prediction(scores=(test[0] - self.mean).abs())


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return [
        Record(save_image(folder / f"{index}.png", seed=index), "part", "test", 0, defect="good") for index in range(5)
    ]


@pytest.fixture
def patchcore(records):
    images = next(Batches(records, PREPROCESSING, len(records)))
    return PatchCore(PatchCoreConfig(coreset_fraction=0.5), network=network).fit(images)


@pytest.fixture
def brightness(records):
    images = next(Batches(records, PREPROCESSING, len(records)))
    return Brightness(MeanImageConfig(), network=network).fit(images)


class Clock:
    """Moves by one second, by two the next time, and so on, each time that it is read."""

    def __init__(self):
        self.now, self.reads = 0.0, 0

    def __call__(self):
        self.now += self.reads
        self.reads += 1
        return self.now


def measure(detector, records, *, batch_size=2, repeats=1, warm_up=0, clock=None):
    return time_inference(
        detector,
        records,
        PREPROCESSING,
        batch_size=batch_size,
        repeats=repeats,
        warm_up=warm_up,
        clock=clock or Clock(),
    )


def test_times_by_hand(patchcore, records):
    # One read at the start and one after each of the four parts: laps of 1, 2, 3, 4 seconds for two images.
    times = measure(patchcore, records[:2])
    assert times.to_dict("list") == {
        "repeat": [0] * 4,
        "batch": [0] * 4,
        "part": ["load", "backbone", "search", "post-processing"],
        "seconds": [0.5, 1.0, 1.5, 2.0],
    }


def test_a_method_without_a_search_is_not_taken_apart(brightness, records):
    times = measure(brightness, records[:2])
    assert times[["part", "seconds"]].to_numpy().tolist() == [["load", 0.5], ["backbone", 1.0], ["scoring", 1.5]]


@pytest.mark.parametrize(("batch_size", "count"), [(1, 5), (2, 3), (5, 1), (8, 1)])
def test_every_batch_is_full_and_every_image_is_seen(patchcore, records, batch_size, count, monkeypatch):
    seen = []

    def spy(part, *arguments):
        seen.append([int(record.image.stem) for record in part])
        return Batches(part, *arguments)

    monkeypatch.setattr(inference_times, "Batches", spy)
    times = measure(patchcore, records, batch_size=batch_size)
    assert times["batch"].nunique() == len(seen) == count
    assert {len(part) for part in seen} == {batch_size}
    assert [image for part in seen for image in part] == [index % 5 for index in range(count * batch_size)]


def test_each_repeat_is_a_pass_over_all_batches(brightness, records):
    times = measure(brightness, records, repeats=3)
    assert times.groupby(["repeat", "batch"]).size().to_dict() == {(r, b): 3 for r in range(3) for b in range(3)}


def test_warm_up_is_run_and_not_counted(brightness, records):
    cold, warm = Clock(), Clock()
    measure(brightness, records, batch_size=1, clock=cold)
    times = measure(brightness, records, batch_size=1, warm_up=7, clock=warm)
    assert len(times) == 5 * 3
    assert (cold.reads, warm.reads) == (5 * 4, 12 * 4)


def test_the_network_is_built_before_the_clock_starts(records, monkeypatch):
    events = []

    class Clocked(PatchCore):
        @property
        def network(self):
            events.append("network")
            return network

    images = next(Batches(records, PREPROCESSING, 5))
    model = Clocked(PatchCoreConfig(), network=network).fit(images)
    events.clear()
    measure(model, records[:1], batch_size=1, clock=lambda: events.append("clock") or 0.0)
    assert events == ["network"] + ["clock"] * 5


def test_the_detector_predicts_as_before(patchcore, records):
    images = next(Batches(records, PREPROCESSING, 5))
    before = patchcore.predict(images)
    measure(patchcore, records)
    assert "nearest_patches" not in vars(patchcore)
    assert torch.equal(patchcore.predict(images).maps, before.maps)


def test_a_failed_prediction_leaves_the_detector_as_it_was(records):
    model = PatchCore(PatchCoreConfig(), network=network)
    with pytest.raises(InputError, match="no memory bank"):
        measure(model, records)
    assert "nearest_patches" not in vars(model)


def test_a_device_that_works_on_its_own_is_waited_for(monkeypatch):
    events = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: events.append(str(device)))
    watch = inference_times._Stopwatch(torch.device("cuda", 1), lambda: events.append("clock") or 0.0)
    watch.lap("load")
    assert events == ["cuda:1", "clock"] * 2


def test_a_processor_is_not_waited_for(brightness, records, monkeypatch):
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: pytest.fail("there is nothing to wait for"))
    assert len(measure(brightness, records))


def test_real_times_are_positive(patchcore, records):
    times = time_inference(patchcore, records, PREPROCESSING, batch_size=2, repeats=1, warm_up=1)
    assert (times["seconds"] > 0).all()


def test_what_cannot_be_timed_is_said_at_once(brightness):
    with pytest.raises(InputError) as caught:
        measure(brightness, [], batch_size=0, repeats=0, warm_up=-1)
    for problem in ("batch_size=0", "repeats=0", "warm_up=-1", "no images"):
        assert problem in str(caught.value)


# Summary


def frame(**parts):
    """Times of batches 0, 1, ... by part."""
    return pd.DataFrame(
        [[0, batch, part, seconds] for part, values in parts.items() for batch, seconds in enumerate(values)],
        columns=["repeat", "batch", "part", "seconds"],
    )


def test_a_summary_by_hand():
    # 21 values 0..20 ms: the median is 10, the 95th percentile 19. The total of 20 ms each does not spread.
    up = [step / 1000 for step in range(21)]
    summary = summarise(frame(load=up, backbone=up[::-1]))
    assert summary["part"].tolist() == ["load", "backbone", "total"]
    assert summary["median_ms"].tolist() == pytest.approx([10, 10, 20])
    assert summary["p95_ms"].tolist() == pytest.approx([19, 19, 20])


def test_a_summary_counts_repeats_as_more_batches():
    once = frame(load=[0.001, 0.002, 0.009])
    twice = pd.concat([once, once.assign(repeat=1)])
    assert summarise(twice)["median_ms"].tolist() == summarise(once)["median_ms"].tolist() == pytest.approx([2, 2])


def test_a_summary_keeps_the_order_of_the_parts(patchcore, records):
    summary = summarise(measure(patchcore, records))
    assert summary["part"].tolist() == ["load", "backbone", "search", "post-processing", "total"]
    assert list(summary.columns) == ["part", "median_ms", "p95_ms"]
    assert (summary["p95_ms"] >= summary["median_ms"]).all()


# Systems of a study


@pytest.fixture
def studied(project):
    """A toy project with a study of four searches, whose raw results and metrics are there."""
    project.variants |= {
        "approximate": {"coreset_fraction": 1, "search": "ivf"},
        "spade": {"method": "spade", "hierarchies": [2, 3]},
        "two": {"method": "ensemble", "models": ["tenth", "all"]},
    }
    study = {"variants": ["all", "approximate", "tenth", "spade", "two"], "categories": ["nut"], "seeds": [0]}
    project.dataset |= {"variants": ["tenth"], "studies": {"search": study}}
    return project


def test_every_system_of_a_study_is_fitted_on_all_nominal_images(studied):
    systems, skipped = fit_systems(studied.toy, study="search")
    assert list(systems) == ["all", "approximate", "tenth", "spade"]
    assert list(skipped) == ["two"]
    nominal = len(Manifest.read(studied.root / "data/toy/manifest.json", base=studied.root).records("nut", "train"))
    assert [system.bank_rows for system in systems.values()] == [64 * nominal, 64 * nominal, int(6.4 * nominal), None]


def test_a_fitted_system_is_the_variant_fitted_alone(studied):
    params = studied.params
    records = Manifest.read(studied.root / "data/toy/manifest.json", base=studied.root).records("nut", "train")
    nominal = next(Batches(records, params.preprocessing("toy", "tenth"), len(records)))
    alone = PatchCore(params.config("toy", "tenth"), seed=0).fit(nominal)
    systems, _ = fit_systems(Project(params).dataset("toy"), study="search", category="nut")
    torch.testing.assert_close(systems["tenth"].detector.memory_bank, alone.memory_bank)


def test_variants_without_weights_are_skipped(studied):
    studied.variants["tenth"] |= {"backbone": "wide_resnet50_2"}
    studied.variants["two"] = {"coreset_fraction": 0.5}
    systems, skipped = fit_systems(studied.toy, study="search")
    assert skipped == {"tenth": "weights missing"}
    assert "tenth" not in systems


def test_a_study_that_is_not_there_is_named(project):
    with pytest.raises(InputError, match="no study 'search'"):
        fit_systems(project.toy, study="search")


def test_systems_are_timed_with_each_number_of_images(project, patchcore, brightness, records):
    systems = {"a": System(patchcore, PREPROCESSING), "b": System(brightness, PREPROCESSING)}
    times = time_systems(systems, records[:2], batch_sizes=[1, 2], repeats=1, warm_up=0)
    groups = times.groupby(["system", "images_at_a_time"], sort=False)["part"].agg(list).to_dict()
    taken_apart = ["load", "backbone", "search", "post-processing", "total"]
    assert groups == {
        (system, count): parts
        for system, parts in (("a", taken_apart), ("b", ["load", "backbone", "scoring", "total"]))
        for count in (1, 2)
    }

    table = times_beside_paper(times, systems, {"c": "an ensemble"}, project.toy).map(str)
    assert table["system"].tolist() == ["a", "a", "b", "b", "c"]
    assert table["rows of the bank"].tolist() == [str(len(patchcore.memory_bank))] * 2 + ["-", "-", "an ensemble"]
    assert (table == "").sum().sum() == 0
    assert set(table.loc[4].drop(["system", "rows of the bank"])) == {"-"}


def test_the_papers_seconds_stand_beside_the_system_of_the_same_name_and_the_papers_images(
    project, patchcore, records, monkeypatch
):
    systems = {"patchcore-10": System(patchcore, PREPROCESSING), "other": System(patchcore, PREPROCESSING)}
    times = time_systems(systems, records[:1], batch_sizes=[1], repeats=1, warm_up=0)
    monkeypatch.setitem(PAPER_COUNTS, "mvtec-ad", {"bolt": (3, 2, 2, 24), "nut": (3, 2, 2, 24)})
    project.call("mvtec-ad")
    seconds = times_beside_paper(times, systems, {}, project.toy)["paper, on its GPU"]
    assert seconds.map(str).tolist() == ["0.22 s", "-"]
    monkeypatch.setitem(PAPER_COUNTS, "mvtec-ad", {"bolt": (3, 2, 2, 24), "nut": (3, 3, 2, 24)})  # one is missing
    assert "paper, on its GPU" not in times_beside_paper(times, systems, {}, project.toy)
    assert "paper, on its GPU" not in times_beside_paper(times, systems, {}, project.call(None).toy)


def write_results(project, variant, indices, distances):
    """Raw results of the category `nut`, one test image of two patches."""
    result = RawResult(
        scores=np.array([1.0], dtype=np.float32),
        distances=np.array([[distances]], dtype=np.float32),
        indices=np.array([[indices]], dtype=np.int32),
        stamp={"key": variant},
    )
    path = project.root / f"reports/scores/toy/nut/{variant}/seed-0.safetensors"
    result.write(path)
    file = f"nut/{variant}/seed-0.safetensors"
    return {"category": "nut", "variant": variant, "shots": None, "seed": 0, "file": file, "key": variant}


def test_losses_of_approximate_search_by_hand(studied):
    # One of two nearest patches is found, and the distances grow from 2 + 2 to 2 + 4.
    cells = [write_results(studied, "all", [5, 6], [2, 2]), write_results(studied, "approximate", [5, 9], [2, 4])]
    ScoreIndex("toy", False, "folder", tuple(cells), ()).write(studied.root / "reports/scores/toy")
    values = {"all": (0.9, 0.8), "approximate": (0.85, 0.8)}
    rows = [
        f"toy,nut,{variant},,0,{metric},{value}"
        for variant, pair in values.items()
        for metric, value in zip(("image_auroc", "pixel_auroc"), pair, strict=True)
    ]
    text = "\n".join(["dataset,category,variant,shots,seed,metric,value", *rows]) + "\n"
    (studied.root / "reports/metrics").mkdir(parents=True)
    (studied.root / "reports/metrics/toy.csv").write_text(text)

    assert search_losses(studied.toy, study="search").map(str).to_dict("records") == [
        {
            "variant": "approximate",
            "compared with": "all",
            "recall (%)": "50.0",
            "excess distance (%)": "50.00",
            "image AUROC (points)": "-5.0",
            "pixel AUROC (points)": "0.0",
            "PRO (points)": "not available",
        }
    ]
