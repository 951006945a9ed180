import re
import shutil
import subprocess

import pandas as pd
import pytest

from patchcore_suite.results.latex import ALIGNMENT, PACKAGES, SPECIAL, broken, escape, estimated_width, latex_table

DOCUMENT = "\\documentclass{article}\n\\usepackage{%s}\n\\begin{document}\n%s\n\\end{document}\n"


def table(*, columns, rows, cell="97.3 ± 0.4", caption="Found & missed"):
    """A table of equal cells under headings of many words."""
    frame = pd.DataFrame({f"metric {number}: of the paper": [cell] * rows for number in range(columns)})
    return latex_table(frame, kinds=["number"] * columns, caption=caption, label="tab:x")


def test_a_table_by_hand():
    frame = pd.DataFrame({"variant": ["patchcore_1", "<b>"], "image AUROC": ["97.3", "-"]})
    assert latex_table(frame, kinds=["word", "number"], caption="A & B", label="tab:t1_x") == (
        "% needs \\usepackage{booktabs,graphicx,rotating}\n"
        "\\begin{table}\n"
        "\\centering\n"
        "\\caption{A \\& B}\n"
        "\\label{tab:t1_x}\n"
        "\\smallskip\n"
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"
        "\\begin{tabular}{lr}\n"
        "\\toprule\n"
        "variant & \\begin{tabular}[b]{@{}r@{}}image\\\\AUROC\\end{tabular} \\\\\n"
        "\\midrule\n"
        "patchcore\\_1 & 97.3 \\\\\n"
        "$<$b$>$ & - \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}%\n"
        "}\n"
        "\\end{table}\n"
    )


@pytest.mark.parametrize("character", SPECIAL)
def test_every_special_character_is_written_once(character):
    assert escape(f"a{character}b") == f"a{SPECIAL[character]}b"


def test_every_kind_of_column_has_an_alignment():
    assert set(ALIGNMENT) == {"number", "word", "prose"}


def test_headings_are_broken_between_words_and_after_hyphens():
    assert broken("control-mean-image", estimated_width("100.0")) == ["control-", "mean-", "image"]
    assert broken("image AUROC: paper", estimated_width("image AUROC:")) == ["image AUROC:", "paper"]
    assert broken("interval (95 %)", 0) == ["interval", "(95 %)"]
    assert broken("PRO", 0) == ["PRO"]
    assert broken("", 0) == [""]


def test_a_table_goes_across_the_page_where_its_letters_would_be_too_small():
    assert "sideways" not in table(columns=4, rows=2)
    assert "sideways" in table(columns=12, rows=2)


def test_rows_that_a_page_cannot_hold_go_into_further_floats_and_none_is_lost():
    text = table(columns=3, rows=90)
    assert text.count("97.3") == 90 * 3
    captions = re.findall(r"\\caption\{Found \\& missed \(part (\d) of (\d)\)\}", text)
    assert captions == [(str(part), str(len(captions))) for part in range(1, len(captions) + 1)]
    assert len(captions) > 1
    assert text.count("\\label{tab:x}") == 1
    assert text.count("\\midrule") == len(captions)


def test_prose_takes_as_many_lines_as_it_needs():
    reason = pd.DataFrame({"reason": ["the images are not those of the paper, " * 8] * 12})
    assert "part 2 of" in latex_table(reason, kinds=["prose"], caption="x", label="x")


@pytest.mark.parametrize("rows", [0, 1])
def test_a_table_of_no_row_or_one_is_a_table(rows):
    assert table(columns=2, rows=rows).count("\\begin{table}") == 1


@pytest.mark.long
def test_latex_finds_every_table_within_its_page(tmp_path):
    """Wide, high, full of prose and of special characters, in one column and in two."""
    if shutil.which("pdflatex") is None:
        pytest.skip("there is no LaTeX on this machine: tables are not compiled")
    prose = pd.DataFrame({"reason": ["weights of ImageNet & more, 50 % of_them; " * 4] * 40, "x": ["1"] * 40})
    tables = [
        table(columns=2, rows=3),
        table(columns=14, rows=20),
        table(columns=4, rows=150, caption="SYNTHETIC images. " * 20),
        table(columns=26, rows=60),
        latex_table(prose, kinds=["prose", "number"], caption="x^2 < 3 × ~a", label="tab:p"),
        table(columns=2, rows=3, cell="[0.9, 1.0]*"),
        latex_table(pd.DataFrame({"".join(SPECIAL): ["".join(SPECIAL)]}), kinds=["word"], caption="", label="tab:s"),
    ]
    assert compiled(tmp_path, "\n\\clearpage\n".join(tables)) > 8
    # What shows that a table which does not fit is seen.
    with pytest.raises(AssertionError, match="Overfull"):
        compiled(tmp_path, "\n".join(line for line in tables[1].splitlines() if line not in (RESIZED, "}")))


RESIZED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def compiled(folder, text):
    """Pages that LaTeX makes of it, without a complaint."""
    (folder / "paper.tex").write_text(DOCUMENT % (PACKAGES, text), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    complaints = re.findall(r"Overfull.*|^! .*|.*Float too large.*|.*Missing character.*", done.stdout, re.MULTILINE)
    assert complaints == [], complaints
    return int(re.search(r"Output written on paper\.pdf \((\d+) pages", done.stdout)[1])
