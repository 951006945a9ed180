import json
import os
import shutil
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ToyProject
from sealed_files import rewrite
from whole_project import ROOT, call_synthetic, run_main

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.paper_counts import PAPER_COUNTS
from patchcore_suite.preflight import grid
from patchcore_suite.report import results_page
from patchcore_suite.report.measured import Measured, read_all
from patchcore_suite.report.page import build_report
from patchcore_suite.report.results_page import markdown_table, measure, write
from patchcore_suite.report.results_page import page as rendered
from patchcore_suite.results import publish
from patchcore_suite.results.section import Section
from patchcore_suite.results.sentences import FAILS, HOLDS, UNDECIDED, compare, low_shot_claims, subsampling_claims
from patchcore_suite.results.table import Heading, Table
from patchcore_suite.run import evaluate, score
from patchcore_suite.run.evaluated import note_evaluated
from patchcore_suite.settings.project import Project
from patchcore_suite.settings.yaml_file import read_yaml

PIXELS = {"backbone": "pixels", "hierarchies": [1, 2]}
ALL_OF_MVTEC_AD = PAPER_COUNTS["mvtec-ad"]
WHOLE = {"bolt": (3, 2, 2, 24), "nut": (3, 2, 2, 24)}  # training, nominal and anomalous test images, side
SMALL = {"resize": [64, 64], "crop": None}
REAL = Path(os.environ.get("PATCHCORE_REAL_IMAGES", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="module", autouse=True)
def whole():
    """The images of the toy project are all that MVTec AD has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PAPER_COUNTS, "mvtec-ad", WHOLE)
        yield


@pytest.fixture(scope="module")
def scored_once(tmp_path_factory, whole):
    """A toy project on all the "real" images of a small MVTec AD, evaluated, with a study of each kind; as it is."""
    project = ToyProject(tmp_path_factory.mktemp("scored")).draw().call("mvtec-ad")
    project.variants = {
        "patchcore-10": PIXELS | {"coreset_fraction": 0.1},
        "patchcore-1": PIXELS | {"coreset_fraction": 0.01},
        "random-1": PIXELS | {"coreset_fraction": 0.01, "sampler": "random"},
        "padim": {"method": "padim", "backbone": "pixels", "hierarchies": [1, 2], "dimensions": 4},
        "absent": {"backbone": "resnet18"},
    }
    project.dataset = {
        "resize": [64, 64],
        "seeds": [0, 1],
        "studies": {
            "subsampling": {
                "variants": ["patchcore-10", "patchcore-1", "random-1"],
                "seeds": [0, 1],
                "covering_radius": True,
            },
            "selection": {"variants": ["patchcore-1", "random-1"], "seeds": [0, 1], "covering_radius": True},
            "low_shot": {
                "variants": ["patchcore-10", "padim"],
                "shots": [1, 2],
                "seeds": [0, 1],
                "categories": ["nut"],
            },
        },
    }
    params = project.params
    score.collect(score.score_dataset(Project(params).dataset("toy"), show_progress=False))
    with chdir(project.root):
        run_main(evaluate, "toy")
    return project


@pytest.fixture
def scored(scored_once, tmp_path):
    """A copy of that project, to be changed by the test."""
    project = ToyProject(shutil.copytree(scored_once.root, tmp_path / "project"))
    project.variants, project.dataset = scored_once.variants, scored_once.dataset
    return project


def build(project):
    """The page of what lies in a project."""
    return rendered([measure(dataset) for dataset in project.datasets.values()])


@pytest.fixture(scope="module")
def page(scored_once):
    return build(Project(scored_once.params))


def section(page, heading):
    """The lines below a heading, up to the next one."""
    _, _, rest = page.partition(f"{heading}\n")
    assert rest, heading
    return rest.partition("\n#")[0]


def test_the_page_has_the_tables_of_the_paper_with_verdicts(page):
    for number, metric in (("1", "image AUROC"), ("2", "pixel AUROC"), ("3", "PRO")):
        lines = section(page, f"### MVTec AD. Table {number}: {metric}")
        assert "| variant | ours | paper | difference | interval (95 %) | verdict | reason |" in lines
        assert "| patchcore-10 |" in lines
        assert "data reduced" not in lines


def test_values_are_those_of_the_metrics(scored, page):
    rows = pd.read_csv(scored.root / "reports/metrics/toy.csv")
    chosen = rows[(rows["variant"] == "patchcore-10") & (rows["metric"] == "pixel_auroc") & rows["shots"].isna()]
    mean = 100 * chosen.groupby("seed")["value"].mean().mean()
    assert f"{mean:.1f}" in section(page, "### MVTec AD. All metrics of these variants")


def test_what_methods_of_the_main_study_cost_is_kept(scored):
    found = measure(Project(scored.params).dataset("toy")).costs
    assert set(found) == set(scored.variants) - {"absent"}
    for seconds, megabytes in found.values():
        assert float(f"{seconds:.3g}") == seconds >= 0  # of images this small, the clock may say nothing
        assert megabytes > 0
    (scored.root / "reports/timings/toy.json").unlink()
    assert measure(Project(scored.params).dataset("toy")).costs == {}


def test_studies_have_tables_and_claims(page):
    subsampling = section(page, "### MVTec AD. Subsampling (Figure 5)")
    assert "covering radius" in subsampling
    assert "At 1 %, the greedy coreset is better than random patches: " in subsampling
    assert "The greedy coreset of 1 % loses at most 0.5 points to that of 10 %: " in subsampling
    few = section(page, "### MVTec AD. Few nominal images (Figure 6, Table S5): image AUROC")
    assert "| variant | 1 | 2 |" in few
    assert "patchcore-10 is better than padim, by number of nominal images: 1: " in few


def test_the_worth_of_selections_is_told_with_a_figure(page):
    selections = section(page, "### MVTec AD. What the selection is worth")
    assert "| random-1 | pixels | 1 | random | " in selections
    assert "fit (s) |" in selections
    assert "](../measured/toy_selection.png)" in selections
    beside = section(page, "### MVTec AD. What the selection is worth: greedy beside the others")
    assert "| pixels | 1 | random | " in beside
    assert "| PRO: interval | PRO: over images |" in beside
    assert "- At 1 % with pixels, *greedy* is worth " in beside
    assert "By both intervals better than " in beside


def test_a_variant_without_weights_is_named(page):
    assert "Left out for want of weights: absent." in page


def test_the_division_of_the_images_is_told(project):
    said = results_page._counts(replace(project.toy.manifest(), division={"held_out": 0.2, "seed": 0}))
    assert "division: held_out 0.2, seed 0" in said


def test_the_stamp_names_images_weights_versions_and_machine(scored, page):
    stamp = page.partition("## What made these numbers")[2]
    manifest = json.loads((scored.root / "data/toy/manifest.json").read_text(encoding="utf-8"))
    for category in ("bolt", "nut"):
        assert f"| toy/{category} | {manifest['categories'][category]['digest']} |" in stamp
    for text in ("| pixels |", "torch ", "patchcore-bench", "cores", "commit: "):
        assert text in stamp


def test_the_page_is_well_formed_markdown(page):
    for block in page.split("\n\n"):
        lines = block.splitlines()
        if lines and lines[0].startswith("|"):
            assert len({line.count("|") for line in lines}) == 1, block
            assert set(lines[1]) <= set("|-: "), block
    assert "\n\n\n\n" not in page


def test_synthetic_images_are_refused(scored):
    call_synthetic(scored.root, "toy")
    with pytest.raises(InputError, match="toy are synthetic"):
        build(Project(scored.params))


def test_a_run_refuses_synthetic_images_before_it_computes(project):
    project.dataset |= {"source": "synthetic"}
    with pytest.raises(InputError, match="toy are synthetic"):
        results_page.run(Project(project.params), project.root / "measured")


def test_a_run_computes_and_writes_the_page(project, tmp_path):
    project.variants = {"patchcore-10": PIXELS | {"coreset_fraction": 0.1}}
    params = project.params
    assert params.root == project.root
    with chdir(project.root):
        run_main(results_page, "--run", "--to", str(tmp_path / "page.md"))
    assert "| patchcore-10 |" in (tmp_path / "page.md").read_text(encoding="utf-8")
    assert [found.name for found in read_all(project.root / "measured")] == ["toy"]


def leave(project, *kept):
    """Delete what was computed of a project, but for variants and seeds."""
    store = project.root / ".cache/cells"
    index = json.loads((project.root / "reports/scores/toy/index.json").read_text(encoding="utf-8"))
    for cell in index["cells"]:
        if (cell["variant"], cell["seed"]) not in kept or cell["shots"] is not None:
            (store / f"{cell['key']}.safetensors").unlink()
    shutil.rmtree(project.root / "reports")


def test_of_a_run_that_was_ended_the_finished_results_are_written_and_the_others_named(scored):
    leave(scored, ("patchcore-10", 0), ("patchcore-10", 1), ("patchcore-1", 0))
    before = sorted((scored.root / ".cache/cells").glob("*.safetensors"))
    with chdir(scored.root):
        run_main(results_page, "--finished", "--to", "page.md")
    text = (scored.root / "page.md").read_text(encoding="utf-8")
    assert sorted((scored.root / ".cache/cells").glob("*.safetensors")) == before
    pending = section(text, "Not measured yet, of the grid:\n")
    assert pending.split("\n\n")[0].splitlines() == [
        "- seed 1: patchcore-1",
        "- seeds 0, 1: random-1, padim",
        "- 1 nominal image, seeds 0, 1: patchcore-10, padim",
        "- 2 nominal images, seeds 0, 1: patchcore-10, padim",
    ]
    subsampling = section(text, "### toy. Subsampling")
    assert "over 2 seeds; fewer: patchcore-1 (1)" in subsampling
    assert "| random-1 |" not in subsampling
    assert "Few nominal images" not in text
    (found,) = read_all(scored.root / "measured")
    assert found.pending[0] == "seed 1: patchcore-1"
    assert found.described.endswith("not measured yet is named in docs/results.md.")


def test_what_an_earlier_run_measured_stays_where_a_later_one_has_less(kept, scored):
    leave(scored, ("patchcore-10", 0), ("patchcore-10", 1))
    results_page.run(Project(scored.params), kept, finished=True)
    (found,) = read_all(kept)
    assert found.pending == ()
    (subsampling,) = [block for block in found.blocks if block.heading == "Subsampling (Figure 5)"]
    assert "random-1" in set(subsampling.frame["variant"])
    assert subsampling.note.endswith("; of an earlier run")


def test_data_of_which_nothing_is_finished_stay_as_they_are(kept, scored, page, capsys):
    leave(scored)
    results_page.run(Project(scored.params), kept, finished=True)
    assert rendered(read_all(kept)) == page
    assert "nothing of toy has been computed yet" in capsys.readouterr().err


# As data


@pytest.fixture
def kept(scored):
    """The folder of data of the project; of the project the page alone is left to be written."""
    write(Project(scored.params).dataset("toy"), scored.root / "measured")
    return scored.root / "measured"


def test_data_give_the_same_page_as_what_they_were_made_from(kept, page):
    assert rendered(read_all(kept)) == page


def test_data_hold_each_value_with_the_key_of_its_raw_result(kept, scored):
    values = pd.read_csv(kept / "toy.csv", dtype=str, keep_default_na=False)
    index = json.loads((scored.root / "reports/scores/toy/index.json").read_text(encoding="utf-8"))
    assert {*values["key"]} - {""} == {cell["key"] for cell in index["cells"]}
    rows = pd.read_csv(scored.root / "reports/metrics/toy.csv", dtype=str, keep_default_na=False)
    assert list(values["value"][: len(rows)].astype(float, errors="ignore")) == list(
        rows["value"].astype(float, errors="ignore")
    )


def test_datasets_that_were_measured_earlier_stay_on_the_page(kept, scored):
    other = replace(Measured.read(kept / "toy.json"), name="another", title="Other", order=1)
    other.write(kept, publish.published_of(Project(scored.params).dataset("toy")))
    assert [found.title for found in read_all(kept)] == ["MVTec AD", "Other"]
    text = rendered(read_all(kept))
    assert text.index("## MVTec AD\n") < text.index("## Other\n")


@pytest.mark.parametrize("harmed", ["toy.json", "toy.csv"])
def test_data_that_were_changed_are_refused(kept, harmed):
    path = kept / harmed
    path.write_text(path.read_text(encoding="utf-8").replace("patchcore-10", "patchcore-11"), encoding="utf-8")
    with pytest.raises(InputError, match=r"toy\.json holds no measured results: .*not what was written"):
        read_all(kept)


def test_the_report_shows_them_in_a_section_of_their_own(kept, scored):
    (scored.root / "reports/sections").mkdir()
    table = Table("Ours", "A table.", True, pd.DataFrame({"variant": ["a"]}))
    Section("demonstration", Heading("Table 0", "nothing"), 0, {"ours": table}).write(scored.root / "reports")
    html = build_report(Project(scored.params))
    shown = html.partition('<section id="measured"')[2].partition("</section>")[0]
    assert "Measured on real images" in shown
    assert "MVTec AD. Table 1: image AUROC" in shown
    assert shown.count('class="badge') == rendered(read_all(kept)).count("| reproduced |") + sum(
        rendered(read_all(kept)).count(f"| {word} |") for word in ("near", "not reproduced", "no verdict")
    )
    assert "../measured/toy.json" in shown
    assert '<a href="../measured/toy_selection.png">' in shown
    assert "At 1 % with pixels, greedy is worth " in shown  # no sign of Markdown
    assert '<a href="#measured">Measured on real images</a>' in html
    assert "executed/measured" not in html
    shutil.rmtree(kept)
    assert "Measured on real images" not in build_report(Project(scored.params))


def test_without_metrics_the_page_says_what_to_do(project):
    with pytest.raises(InputError, match="dvc repro"):
        build(Project(project.params))


def test_a_cell_of_a_table_cannot_break_it():
    table = markdown_table(pd.DataFrame({"variant": ["a|b"], "ours": [1.5]}))
    assert table == "| variant | ours |\n| --- | ---: |\n| a\\|b | 1.5 |"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0.96, 0.97], [0.80, 0.81], HOLDS),
        ([0.80, 0.81], [0.96, 0.97], FAILS),
        ([0.90, 0.97], [0.88, 0.97], UNDECIDED),
        ([0.9], [0.8], f"{HOLDS} (one seed)"),
        ([0.9], [0.9], f"{UNDECIDED} (one seed)"),
    ],
)
def test_a_claim_holds_beyond_twice_the_spread(first, second, expected):
    assert compare(pd.Series(first), pd.Series(second)) == expected


def values(of):
    rows = [[variant, seed, value] for variant, found in of.items() for seed, value in enumerate(found)]
    return pd.DataFrame(rows, columns=["variant", "seed", "value"])


def test_subsampling_claims_by_hand(project):
    project.variants = {
        "patchcore-10": {"coreset_fraction": 0.1},
        "patchcore-1": {"coreset_fraction": 0.01},
        "random-1": {"coreset_fraction": 0.01, "sampler": "random"},
    }
    found = subsampling_claims(
        values({"patchcore-10": [0.97, 0.97], "patchcore-1": [0.96, 0.96], "random-1": [0.86, 0.86]}),
        project.toy,
    )
    assert [claim.partition(": ")[2].split(" (")[0] for claim in found] == [HOLDS, FAILS]


def test_low_shot_claims_by_hand(project):
    project.variants = {"ours": {}, "spade": {"method": "spade"}}
    frame = values({"ours": [0.9, 0.9], "spade": [0.8, 0.8]}).assign(shots=1)
    later = values({"ours": [0.9, 0.9], "spade": [0.95, 0.95]}).assign(shots=5)
    (claim,) = low_shot_claims(pd.concat([frame, later]), project.toy)
    assert claim.endswith(f"1: {HOLDS}; 5: {FAILS}.")


@pytest.mark.slow
def test_real_images_give_the_tables_of_their_category(tmp_path, monkeypatch):
    monkeypatch.setitem(PAPER_COUNTS, "mvtec-ad", ALL_OF_MVTEC_AD)
    if not (REAL / "mvtec" / "bottle").is_dir():
        pytest.skip(f"needs the real images of MVTec AD's bottle in {REAL / 'mvtec'} (PATCHCORE_REAL_IMAGES)")
    base = read_yaml(ROOT / "params.yaml", remedy="")
    setting = f"datasets.mvtec.source={REAL / 'mvtec'}"
    written = grid.read_grid(ROOT / "grids/results.yaml", base, [setting]).to_write()
    del written["datasets"]["mvtec"]["metrics"]  # of larger images
    written["datasets"]["mvtec"] |= {"variants": ["patchcore-1"], "studies": {}, "seeds": [0]} | SMALL
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    with chdir(tmp_path):
        run_main(results_page, "--run", "--to", str(tmp_path / "page.md"))
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "Table 1 (Table S1): image AUROC, bottle" in page
    assert "`bottle`: 209 training images" in page


def test_own_parts_have_their_own_title_and_none_of_the_papers_tables(scored):
    text = build(Project(scored.call(None).params))
    assert "## toy\n" in text
    assert "### toy. All metrics of these variants" in text
    assert "MVTec AD" not in text
    assert "verdict |" not in text
    assert "### toy. Subsampling\n" in text  # of no figure


def test_categories_that_lack_images_stand_beside_nothing(scored, monkeypatch):
    monkeypatch.setitem(PAPER_COUNTS, "mvtec-ad", {"bolt": (3, 2, 3, 24), "nut": (4, 2, 2, 24)})
    text = build(Project(scored.params))
    assert "## toy\n" in text
    assert "MVTec AD" not in text
    assert "verdict |" not in text


def call_nut_bottle(manifest):
    manifest["categories"]["bottle"] = manifest["categories"].pop("nut")


def test_complete_categories_of_a_larger_dataset_stand_beside_the_papers_one_by_one(scored, monkeypatch):
    monkeypatch.setitem(
        PAPER_COUNTS, "mvtec-ad", {"bottle": (3, 2, 2, 24), "nut": (3, 2, 2, 24), "bolt": (9, 2, 2, 24)}
    )
    rewrite(scored.root / "data/toy/manifest.json", call_nut_bottle)  # a category that the paper's tables know
    for file in ("metrics/toy.csv", "metrics/toy_intervals.csv"):
        made = scored.root / "reports" / file
        made.write_text(made.read_text().replace(",nut,", ",bottle,"))
    note_evaluated(Project(scored.params).dataset("toy"))
    scored.dataset["studies"]["low_shot"]["categories"] = ["bottle"]
    text = build(Project(scored.params))
    assert "Table 1 (Table S1): image AUROC, bottle\n" in text
    assert "image AUROC, bolt" not in text  # some of its images are missing
    assert "| patchcore-10 | " in section(text, "### toy. Table 2 (Table S2): pixel AUROC, bottle")
    assert "Table 1: " not in text  # means of other categories
