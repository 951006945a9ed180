import pandas as pd
import pytest

from patchcore_suite.results.table import ALIGNMENT, SPECIAL, escape, latex_table


def test_a_table_by_hand():
    frame = pd.DataFrame({"variant": ["patchcore_1", "<b>"], "50 %": ["97.3 ± 0.4", "-"]})
    assert latex_table(frame, kinds=["word", "number"], caption="A & B", label="tab:t1_x") == (
        "\\begin{table}\n"
        "\\centering\n"
        "\\caption{A \\& B}\n"
        "\\label{tab:t1_x}\n"
        "\\begin{tabular}{lr}\n"
        "\\toprule\n"
        "variant & 50 \\% \\\\\n"
        "\\midrule\n"
        "patchcore\\_1 & 97.3 $\\pm$ 0.4 \\\\\n"
        "$<$b$>$ & - \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "\\end{table}\n"
    )


@pytest.mark.parametrize("character", SPECIAL)
def test_every_special_character_is_written_once(character):
    assert escape(f"a{character}b") == f"a{SPECIAL[character]}b"


def test_every_kind_of_column_has_an_alignment():
    assert set(ALIGNMENT) == {"number", "word", "prose"}
