import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from patchcore_core import InputError
from patchcore_suite.run.raw_results import RawResult, ScoreIndex, read_timings
from patchcore_suite.run.sealed import sealed


def result(seed=0, n=3):
    rng = np.random.default_rng(seed)
    return RawResult(
        scores=rng.random(n, dtype=np.float32),
        reweighted_scores=rng.random(n, dtype=np.float32),
        distances=rng.random((n, 2, 4), dtype=np.float32),
        indices=rng.integers(0, 9, (n, 2, 4), dtype=np.int32),
        coreset_indices=rng.permutation(9).astype(np.int32),
        stamp={"variant": "one", "seed": seed, "crop": None, "name": "σ", "key": f"{seed:064}"},
    )


def equal(first, second):
    pairs = [(getattr(first, name), getattr(second, name)) for name in RawResult.ARRAYS]
    same = all(a is b is None or np.array_equal(a, b) for a, b in pairs)
    return same and first.stamp == second.stamp


@pytest.fixture
def indexed(tmp_path):
    """A folder toy with three results and their index."""
    folder, cells = tmp_path / "toy", []
    for category, variant in (("bolt", "one"), ("bolt", "two"), ("nut", "one")):
        file = f"{category}/{variant}/seed-0.safetensors"
        result(len(cells)).write(folder / file)
        cells.append(
            {
                "category": category,
                "variant": variant,
                "shots": None,
                "seed": 0,
                "file": file,
                "key": f"{len(cells):064}",
            }
        )
    index = ScoreIndex(
        dataset="toy",
        synthetic=True,
        source="synthetic",
        cells=tuple(cells),
        weights_missing=({"variant": "paper", "remedy": "download"},),
    )
    index.write(folder)
    return folder


# Raw results


def test_a_result_survives_the_disk(tmp_path):
    result().write(tmp_path / "a" / "result.safetensors")
    read = RawResult.read(tmp_path / "a" / "result.safetensors")
    assert equal(read, result())
    assert (read.distances.dtype, read.indices.dtype) == (np.float32, np.int32)


OPTIONAL = [name for name in RawResult.ARRAYS if name != "scores"]


@pytest.mark.parametrize("absent", [*([name] for name in OPTIONAL), OPTIONAL], ids=lambda names: "+".join(names))
def test_arrays_that_a_method_does_not_give_are_absent_after_the_disk_too(tmp_path, absent):
    whole = result()
    some = RawResult(**whole.__dict__ | dict.fromkeys(absent))
    some.write(tmp_path / "a")
    read = RawResult.read(tmp_path / "a")
    assert equal(read, some)
    assert [name for name in RawResult.ARRAYS if getattr(read, name) is None] == absent


def test_without_scores_there_is_no_result(tmp_path):
    save_file({"distances": np.zeros((2, 2, 2))}, tmp_path / "other", metadata={"stamp": "{}"})
    with pytest.raises(InputError, match="missing or damaged"):
        RawResult.read(tmp_path / "other")


def test_a_result_is_built_by_name_only():
    with pytest.raises(TypeError):
        RawResult(np.zeros(2), {})


def test_equal_results_have_equal_bytes_and_other_ones_have_not(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        result(seed).write(tmp_path / name)
    first, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == again != other


def test_the_order_of_the_stamps_keys_does_not_matter(tmp_path):
    first = result()
    turned = RawResult(**first.__dict__ | {"stamp": dict(reversed(first.stamp.items()))})
    first.write(tmp_path / "a")
    turned.write(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_views_of_arrays_are_written_as_what_they_show(tmp_path):
    whole = result(n=6)
    every_second = RawResult(**whole.__dict__ | {"distances": whole.distances[::2].transpose(0, 2, 1)})
    every_second.write(tmp_path / "a")
    assert np.array_equal(RawResult.read(tmp_path / "a").distances, whole.distances[::2].transpose(0, 2, 1))


@pytest.mark.parametrize("content", [b"", b"not a result", None])
def test_a_missing_or_damaged_result_is_named(tmp_path, content):
    path = tmp_path / "result.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"the result {path} is missing or damaged"):
        RawResult.read(path)


def test_a_cut_result_is_named(tmp_path):
    path = tmp_path / "result.safetensors"
    result().write(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="missing or damaged"):
        RawResult.read(path)


@pytest.mark.parametrize("place", [-1, -200])
def test_a_flipped_byte_is_noticed(tmp_path, place):
    path = tmp_path / "result.safetensors"
    result().write(path)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="missing or damaged: its content is not what was written"):
        RawResult.read(path)


def test_other_tensors_are_no_result(tmp_path):
    save_file({"scores": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="missing or damaged"):
        RawResult.read(tmp_path / "other.safetensors")


def test_what_is_wrong_with_a_result_is_told_without_an_error(tmp_path):
    path = tmp_path / "result.safetensors"
    result(1).write(path)
    assert RawResult.damage(path, f"{1:064}") == ""
    assert RawResult.damage(path, f"{2:064}") == "it is the result of something else"
    path.write_bytes(b"{")
    assert RawResult.damage(path, f"{1:064}") != ""
    assert RawResult.damage(tmp_path / "none", f"{1:064}") != ""


# The index


def test_an_index_survives_the_disk(indexed):
    index = ScoreIndex.read(indexed)
    assert (index.dataset, index.synthetic, index.source) == ("toy", True, "synthetic")
    assert [cell["category"] for cell in index.cells] == ["bolt", "bolt", "nut"]
    assert [cell["shots"] for cell in index.cells] == [None] * 3
    assert index.weights_missing[0]["variant"] == "paper"
    before = (indexed / "index.json").read_bytes()
    index.write(indexed)
    assert (indexed / "index.json").read_bytes() == before
    assert ScoreIndex.read(indexed) == index


def test_results_come_with_their_cells_in_order(indexed):
    found = list(ScoreIndex.read(indexed).results(indexed))
    named = [f"{cell['category']} {cell['variant']}" for cell, _ in found]
    assert named == ["bolt one", "bolt two", "nut one"]
    assert all(equal(read, result(seed)) for seed, (_, read) in enumerate(found))


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"category": "nut"}, 1),
        ({"variant": "one"}, 2),
        ({"category": "bolt", "variant": "one"}, 1),
        ({"variant": "three"}, 0),
    ],
)
def test_results_of_one_category_or_variant(indexed, chosen, expected):
    found = [cell for cell, _ in ScoreIndex.read(indexed).results(indexed, **chosen)]
    assert len(found) == expected
    assert all(cell[key] == value for cell in found for key, value in chosen.items())


def test_a_result_that_was_exchanged_is_noticed(indexed):
    result(7).write(indexed / "bolt" / "two" / "seed-0.safetensors")
    with pytest.raises(InputError, match=r"two/seed-0\.safetensors is not the one in the index"):
        list(ScoreIndex.read(indexed).results(indexed))


def test_a_result_that_was_deleted_is_noticed(indexed):
    (indexed / "nut" / "one" / "seed-0.safetensors").unlink()
    with pytest.raises(InputError, match=r"nut/one/seed-0.safetensors is missing"):
        list(ScoreIndex.read(indexed).results(indexed))


@pytest.mark.parametrize("harm", [lambda path: path.write_bytes(b"half"), lambda path: result(7).write(path)])
def test_a_result_that_is_not_what_was_written_is_copied_again_out_of_the_store(indexed, tmp_path, harm, capsys):
    path, store = indexed / "bolt/two/seed-0.safetensors", tmp_path / "cells"
    result(1).write(store / f"{1:064}.safetensors")
    harm(path)
    found = [read for _, read in ScoreIndex.read(indexed).results(indexed, store=store)]
    assert all(equal(read, result(seed)) for seed, read in enumerate(found))
    assert capsys.readouterr().err.count("it is copied again out of") == 1
    assert equal(RawResult.read(path), result(1))
    (store / f"{1:064}.safetensors").write_bytes(b"half too")
    harm(path)
    with pytest.raises(InputError, match="Remedy: run `dvc repro -f score@toy`"):
        list(ScoreIndex.read(indexed).results(indexed, store=store))


# Times


def times(indexed, harm=lambda entries: entries):
    entries = {cell["file"]: sealed({"key": cell["key"], "s": 1.5}) for cell in ScoreIndex.read(indexed).cells}
    path = indexed.with_name("times.json")
    path.write_text(json.dumps(harm(entries)))
    return read_timings(path, ScoreIndex.read(indexed))


def test_times_come_by_file(indexed, capsys):
    assert times(indexed)["nut/one/seed-0.safetensors"] == {"key": f"{2:064}", "s": 1.5}
    assert read_timings(indexed.with_name("none.json"), ScoreIndex.read(indexed)) == {}
    assert capsys.readouterr().err == ""


def swapped(entries):
    return dict(zip(entries, reversed(entries.values()), strict=True))


@pytest.mark.parametrize(
    ("harm", "left"),
    [
        (lambda entries: entries | {"bolt/one/seed-0.safetensors": {"key": f"{0:064}", "s": 1.5}}, 2),
        (lambda entries: entries | {"bolt/one/seed-0.safetensors": None}, 2),
        (swapped, 1),  # the one in the middle stays where it was
        (lambda entries: list(entries), 0),
    ],
    ids=["no checksum", "nothing", "of others", "a list"],
)
def test_times_that_are_damaged_or_of_others_are_left_out_with_a_word(indexed, harm, left, capsys):
    assert len(times(indexed, harm)) == left
    said = capsys.readouterr().err
    assert said.count("are damaged or of other results, and left out") == 1
    assert "dvc repro -f score@toy" in said


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_file_of_times_that_cannot_be_read_holds_none(indexed, content, capsys):
    path = indexed.with_name("times.json")
    path.write_bytes(content)
    assert read_timings(path, ScoreIndex.read(indexed)) == {}
    assert "left out" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "", "{"])
def test_a_folder_without_a_readable_index_has_no_results(tmp_path, content):
    (tmp_path / "toy").mkdir()
    if content is not None:
        (tmp_path / "toy" / "index.json").write_text(content)
    with pytest.raises(InputError, match=r"there are no results in .*toy[^\n]*\nRemedy: run `dvc repro score@toy`"):
        ScoreIndex.read(tmp_path / "toy")


@pytest.mark.parametrize(
    "harm",
    [
        lambda text: text.replace('"nut"', '"nub"'),
        lambda text: text.replace(f"{2:064}", f"{1:064}"),
        lambda text: text[:-5],
        lambda text: "[" * 100_000,
        lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != "sha256"}),
    ],
    ids=["a name", "a key", "truncated", "nested", "no checksum"],
)
def test_a_damaged_index_has_no_results(indexed, harm):
    path = indexed / "index.json"
    path.write_text(harm(path.read_text()))
    with pytest.raises(InputError, match=r"there are no results in .*toy: index\.json: [^\n]+\nRemedy: run `dvc"):
        ScoreIndex.read(indexed)


def test_the_index_of_another_dataset_is_none(indexed):
    indexed.rename(indexed.with_name("other"))
    with pytest.raises(InputError, match=r"the results in .*other are those of toy"):
        ScoreIndex.read(indexed.with_name("other"))


@pytest.mark.parametrize("content", ["{}", '{"schema": 0}', '{"schema": 2}', "[]"])
def test_an_index_of_another_version_is_refused(indexed, content):
    (indexed / "index.json").write_text(content)
    with pytest.raises(InputError, match="another version"):
        ScoreIndex.read(indexed)


def test_results_from_before_an_index_held_keys_say_what_to_run(tmp_path):
    cell = {"category": "bolt", "variant": "one", "shots": None, "seed": 0, "file": "bolt/one/seed-0.safetensors"}
    before = {
        "schema": 2,
        "dataset": "toy",
        "synthetic": False,
        "source": "folder",
        "cells": [cell | {"sha256": "0" * 64}],
        "weights_missing": [],
    }
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/index.json").write_text(json.dumps(before))
    with pytest.raises(InputError, match=r"written by another version\nRemedy: run `dvc repro score@toy`"):
        ScoreIndex.read(tmp_path / "toy")


def test_an_index_says_its_schema(indexed):
    assert json.loads((indexed / "index.json").read_text())["schema"] == 4
