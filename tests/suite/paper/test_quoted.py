from patchcore_suite.paper.quoted import quoted


def row(frame, method, **values):
    (found,) = [
        one
        for one in frame.map(str).to_dict("records")
        if one["method"] == method and all(one[name] == value for name, value in values.items())
    ]
    return found


def test_one_row_holds_what_several_tables_print_of_a_method():
    found = row(quoted("MVTec AD"), "PatchCore-25%")
    assert (found["image AUROC"], found["pixel AUROC"], found["PRO"]) == ("99.1", "98.1", "93.4")  # Tables 1, 2, 3
    assert found["printed by"] == "Roth et al."


def test_methods_that_followed_are_told_apart_by_their_setting():
    frame = quoted("MVTec AD")
    assert row(frame, "AnomalyDINO-S", **{"nominal images": "1"})["image AUROC"] == "96.6 ± 0.4"
    assert row(frame, "AnomalyDINO-S", **{"nominal images": "16"})["image AUROC"] == "98.4 ± 0.1"
    assert row(frame, "SoftPatch")["anomalous images in training"] == "10"


def test_numbers_of_other_datasets_and_of_single_categories_are_left_out():
    assert quoted("mSTC")["method"].tolist() == ["CAVGA-Ru", "SPADE", "PaDiM", "PatchCore-10%"]
    assert "image AUROC" not in quoted("mSTC")
    assert row(quoted("MVTec AD"), "PatchCore WR50")["AUPIMO"] == "67.2"


def test_what_a_note_says_is_kept_once():
    assert (
        row(quoted("MVTec AD"), "SPADE", **{"nominal images": "all"})["note"]
        == "transcriptions agree; quoted by the paper"
    )
