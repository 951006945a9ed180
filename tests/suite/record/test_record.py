import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from patchcore_core.common.errors import InputError
from patchcore_suite.record import cells, command, records
from patchcore_suite.record.cells import DRAWN, METRICS, VARIANTS, prefixes
from patchcore_suite.record.records import SCORES_WITHIN, Cell, Record, add_record, moved, nearest_first, read_records

CELL = Cell(picks={"1": "a", "3": "b"}, order="c", scores=(2.0, 4.0, 8.0), distances="d", metrics={"image_auroc": 0.75})
OURS = Record(
    processor="Abacus",
    instructions="AVX2",
    device="cpu",
    gpu=None,
    system="Linux",
    versions={"torch": "2.9", "numpy": "2.0"},
    images={"bolt": "e"},
    weights={"net": "f"},
    cells={"bolt/tenth": CELL},
)


def with_cell(**changes):
    """Our record with another cell."""
    return replace(OURS, cells={"bolt/tenth": replace(CELL, **changes)})


@pytest.fixture
def kept(tmp_path):
    """The file of records in a clone, which holds none yet."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "patchcore_suite/record").mkdir(parents=True)
    return tmp_path / "patchcore_suite/record/records.json"


def told(monkeypatch, capsys, kept, *options):
    """Exit code and output of the command where `OURS` is what this machine gives."""
    monkeypatch.setattr(command, "measure", lambda device: OURS)
    monkeypatch.setattr(command, "read_records", lambda: read_records(kept))
    monkeypatch.setattr(command, "add_record", lambda ours: add_record(ours, kept))
    monkeypatch.setattr(command, "FILE", kept)
    monkeypatch.setattr("sys.argv", ["record", *options])
    try:
        command.main()
    except SystemExit as end:
        return end.code, capsys.readouterr()
    return 0, capsys.readouterr()


def test_the_same_cell_has_not_moved():
    move = moved(CELL, replace(CELL))
    assert move.same
    assert (move.scores, move.picks, move.swapped, move.ranked, move.outside) == (0, None, False, True, [])


def test_a_score_moves_relative_to_its_size():
    move = moved(CELL, replace(CELL, scores=(2.0, 5.0, 8.0)))
    assert move.scores == pytest.approx(0.2)
    assert move.outside == ["scores move by 2.0e-01 of their size, where 1.1e-05 is promised"]


@pytest.mark.parametrize("part", [0.9, -0.9])
def test_scores_may_move_by_what_is_promised(part):
    assert moved(CELL, replace(CELL, scores=(2.0, 4.0, 8.0 * (1 + part * SCORES_WITHIN)))).outside == []


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"picks": {"1": "a", "3": "z"}}, "other picks among the first 3"),
        ({"picks": {"1": "z", "3": "y"}}, "other picks among the first 1"),
        ({"picks": {"1": "a", "4": "b"}}, "other picks among the first 3"),
        ({"metrics": {"image_auroc": 0.7499}}, "image_auroc moves by +1.0e-04, where 1e-05 is promised"),
        ({"metrics": {}}, "image_auroc moves by +nan, where 1e-05 is promised"),
        ({"scores": (2.0, 4.0)}, "scores move by nan of their size, where 1.1e-05 is promised"),
    ],
)
def test_what_is_not_as_promised_is_said(change, phrase):
    assert phrase in moved(CELL, replace(CELL, **change)).outside


def test_another_order_of_close_scores_is_outside():
    ours, theirs = replace(CELL, scores=(1.0, 1.0 + 1e-7)), replace(CELL, scores=(1.0 + 1e-7, 1.0))
    assert moved(ours, theirs).outside == ["another order of images"]


def test_picks_that_change_places_are_told_and_allowed():
    move = moved(CELL, replace(CELL, order="z"))
    assert move.swapped
    assert move.outside == []


def test_prefixes_of_picks_show_where_two_runs_part():
    one, other = np.arange(120, dtype=np.int32), np.arange(120, dtype=np.int32)
    other[50] = 500
    assert list(prefixes(one)) == ["1", "10", "100", "120"]
    assert [count for count in prefixes(one) if prefixes(one)[count] != prefixes(other)[count]] == ["100", "120"]
    assert prefixes(one) == prefixes(np.concatenate([one[:20], one[[21, 20]], one[22:]]))
    assert prefixes(None) == {}


def test_the_nearest_record_is_of_the_same_device_then_machine_then_torch():
    gpu, old, other = (
        replace(OURS, device="cuda", gpu="Card"),
        replace(OURS, versions={"torch": "2.5"}),
        replace(OURS, processor="Sundial"),
    )
    assert nearest_first(OURS, [gpu, other, old]) == [old, other, gpu]


def test_a_record_is_kept_in_place_of_the_same_machine_s(kept):
    assert add_record(OURS, kept) == []
    add_record(replace(OURS, processor="Sundial"), kept)
    later = with_cell(order="z")
    assert add_record(later, kept) == []
    assert read_records(kept) == [later, replace(OURS, processor="Sundial")]


def test_records_of_other_images_are_dropped(kept):
    add_record(replace(OURS, processor="Sundial", images={"bolt": "z"}), kept)
    (dropped,) = add_record(OURS, kept)
    assert dropped.processor == "Sundial"
    assert read_records(kept) == [OURS]


def test_an_installation_keeps_no_record(tmp_path):
    with pytest.raises(InputError, match="part of an installation"):
        add_record(OURS, tmp_path / "a/b/records.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"schema": 1}'])
def test_a_damaged_file_of_records_is_refused(kept, content):
    kept.write_bytes(content)
    with pytest.raises(InputError, match="holds no records"):
        read_records(kept)


def test_a_machine_that_gives_the_same_passes(kept, monkeypatch, capsys):
    add_record(OURS, kept)
    add_record(replace(with_cell(scores=(2.0, 4.0, 8.00001)), processor="Sundial"), kept)
    code, said = told(monkeypatch, capsys, kept)
    assert code == 0
    assert "all is the same, to the last digit" in said.out
    assert "Sundial with AVX2 (cpu), torch 2.9: scores move by at most 1.2e-06 of their size" in said.out
    assert said.out.rstrip().endswith("kept")


@pytest.mark.parametrize(
    ("theirs", "line"),
    [
        (with_cell(scores=(2.0, 4.0, 9.0)), "bolt/tenth: scores move by 1.1e-01"),
        (replace(OURS, images={"bolt": "z"}), "other images: bolt"),
        (replace(OURS, weights={"net": "z"}), "other weights: net"),
        (replace(OURS, cells={"nut/tenth": CELL}), "other cells: bolt/tenth, nut/tenth"),
    ],
    ids=["a score", "images", "weights", "cells"],
)
def test_what_lies_outside_ends_with_exit_code_1_and_says_what_differs(theirs, line, kept, monkeypatch, capsys):
    add_record(theirs, kept)
    code, said = told(monkeypatch, capsys, kept)
    assert code == 1
    assert line in said.out
    assert "BROKEN" in said.out
    code, said = told(monkeypatch, capsys, kept, "--json")
    assert code == 1
    document = json.loads(said.out)
    assert not document["kept"]
    assert line in document["outside"][0]


def test_nothing_is_promised_between_devices(kept, monkeypatch, capsys):
    add_record(replace(with_cell(scores=(3.0, 4.0, 8.0)), device="cuda", gpu="Card"), kept)
    code, said = told(monkeypatch, capsys, kept)
    assert code == 0
    assert "nothing was checked" in said.out
    assert "3.3e-01" in said.out


def test_a_new_record_is_written_whatever_it_says(kept, monkeypatch, capsys):
    assert told(monkeypatch, capsys, kept, "--write")[0] == 0
    add_record(with_cell(scores=(3.0, 4.0, 8.0)), kept)
    assert told(monkeypatch, capsys, kept, "--write")[0] == 0
    assert read_records(kept) == [OURS]


def test_the_set_is_computed_from_nothing_and_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name, value in {"DRAWN": ("tile",), "TRAIN": 1, "GOOD": 1, "DEFECTIVE": 1, "BACKBONE": "pixels"}.items():
        monkeypatch.setattr(cells, name, value)
    few = {"coreset_fraction": 0.0001, "sampler": "random", "hierarchies": [1]}
    monkeypatch.setattr(cells, "VARIANTS", {"few": few})
    found = cells.measure(show_progress=False)
    (cell,) = found.cells.values()
    assert (len(cell.scores), set(cell.metrics)) == (5, set(METRICS))
    assert Record.of(json.loads(json.dumps(asdict(found)))) == found
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="tpu cannot be used here"):
        cells.measure(device="tpu")


def test_what_is_shipped_is_the_set_and_its_promise_can_be_kept():
    kept = read_records()
    assert len(kept) >= 2
    for one in kept:
        assert set(one.cells) == {f"{category}/{variant}" for category in DRAWN for variant in VARIANTS}
        assert not [line for other in kept for line in command.outside(one, [other])]
        for cell in one.cells.values():
            scores = np.sort(cell.scores)
            # Closer scores might change places without any of them leaving its limit.
            assert (np.diff(scores) > 2 * SCORES_WITHIN * scores[1:]).all()
    assert records.FILE.stat().st_size < 100_000
