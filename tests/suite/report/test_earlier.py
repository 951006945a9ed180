import pandas as pd
import pytest

from patchcore_suite import figures
from patchcore_suite.report.earlier import with_earlier
from patchcore_suite.report.measured import Block, Drawing, Measured
from patchcore_suite.results.quantities import share

COLUMNS = ["category", "variant", "shots", "seed", "metric", "value"]


def measured(*blocks, images="a", commit="first"):
    stamp = {"commits": [commit], "versions": [], "weights": {}, "images": {"nut": images}, "machines": []}
    return Measured(
        name="toy", order=0, title="Toy", counts=(), missing=(), pending=(), blocks=tuple(blocks), stamp=stamp
    )


def block(heading, **shares):
    cells = [share(value) if isinstance(value, float) else value for value in shares.values()]
    return Block(heading, "one seed", pd.DataFrame({"variant": list(shares), "ours": cells}))


def rows(**values):
    return pd.DataFrame([("nut", name, None, 0, "pro", value) for name, value in values.items()], columns=COLUMNS)


@pytest.fixture
def before(tmp_path):
    """A folder of data of an earlier run: two variants in a study, and another study."""
    earlier = measured(block("Sizes", a=0.1, b=0.2), block("Networks", c=0.3))
    earlier.write(tmp_path, rows(a=0.1, b=0.2, c=0.3).assign(dataset="toy", method="m", key="k", config_sha256="s"))
    return tmp_path


def test_tables_of_more_numbers_stay_and_are_told_from_new_ones(before):
    found, values = with_earlier(measured(block("Sizes", a=0.5, b="not run"), commit="second"), rows(a=0.5), before)
    assert [(b.heading, b.note) for b in found.blocks] == [
        ("Sizes", "one seed; of an earlier run"),
        ("Networks", "one seed; of an earlier run"),
    ]
    assert values["value"].tolist() == [0.5, 0.2, 0.3]  # what is new counts
    assert found.stamp["commits"] == ["second", "first"]


def test_a_new_table_of_as_many_numbers_takes_the_place_of_the_earlier_one(before):
    found, _ = with_earlier(measured(block("Sizes", a=0.5, b=0.6)), rows(a=0.5, b=0.6), before)
    assert [str(cell) for cell in found.blocks[0].frame["ours"]] == ["50.0", "60.0"]
    assert found.blocks[0].note == "one seed"


def test_of_other_images_nothing_stays(before):
    new = measured(block("Sizes", a=0.5), images="b")
    found, values = with_earlier(new, rows(a=0.5), before)
    assert found is new
    assert values["variant"].tolist() == ["a"]


def test_without_earlier_data_nothing_is_added(tmp_path):
    new = measured(block("Sizes", a=0.5))
    assert with_earlier(new, rows(a=0.5), tmp_path)[0] is new


def test_figures_are_written_beside_the_data_and_read_by_their_names(tmp_path):
    curve = pd.DataFrame({"series": ["a", "a"], "x": [1.0, 2.0], "PRO": [0.1, 0.2]})
    drawing = Drawing("toy_sizes", "PRO against x", figures.sweep(curve, x="x", values=["PRO"]))
    drawn = Block("Sizes", "one seed", pd.DataFrame({"variant": ["a"]}), drawing=drawing)
    measured(drawn).write(tmp_path, rows(a=0.1).assign(dataset="toy", method="m", key="k", config_sha256="s"))
    assert sorted(path.name for path in tmp_path.glob("toy_sizes.*")) == ["toy_sizes.png", "toy_sizes.svg"]
    (read,) = Measured.read(tmp_path / "toy.json").blocks
    assert read.drawing == drawing
    assert read.drawing.figure is None
