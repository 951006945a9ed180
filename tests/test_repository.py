"""What a clone holds: documents that tell the truth, and nothing that belongs elsewhere."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "patchcore_core"
MODULES = sorted(PACKAGE.rglob("*.py"))


def tracked():
    try:
        listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_readme_names_the_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make repro" in readme
    assert "make test" in readme


def test_every_make_target_that_a_document_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for document in [ROOT / "README.md", ROOT / "data" / "README.md", *(ROOT / "docs").glob("*.md")]:
        named = re.findall(r"(?:`|^)make ([a-z-]+)", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert set(named) <= targets, document


def test_every_make_target_has_a_line_of_help():
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)[1].split()
    assert [target for target in phony if not re.search(rf"^{target}:.*## \w", makefile, flags=re.MULTILINE)] == []


def test_every_local_link_of_a_document_leads_somewhere():
    for document in [ROOT / "README.md", ROOT / "data" / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert "://" in target or (document.parent / target).exists(), f"{document}: {target}"


def test_no_file_is_larger_than_2_mb():
    assert [path for path in tracked() if path.stat().st_size > 2 * 2**20] == []


def test_no_image_data_or_weights_are_tracked():
    forbidden = {".pth", ".pt", ".safetensors", ".npy", ".npz", ".avi", ".jpg", ".jpeg", ".zip", ".pkl"}
    assert [path for path in tracked() if path.suffix.lower() in forbidden] == []


def test_no_path_of_a_machine_and_no_index_address_is_tracked():
    pattern = re.compile(r"(^|[\"'= :(])/(home|root|work|Users)/|(index-ur[l]|find-link[s])", flags=re.MULTILINE)
    offenders = []
    for path in tracked():
        if path.suffix not in {".png", ".py"} and pattern.search(path.read_text(encoding="utf-8", errors="ignore")):
            offenders.append(path)
    assert offenders == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is_for_and_stays_small(path):
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 350
    assert not re.search(r"TOD[O]|FIXM[E]|XX[X]", text)


def test_only_figures_draws():
    drawing = [
        path for path in MODULES if re.search(r"^(import|from) (matplotlib|seaborn)", path.read_text(), re.MULTILINE)
    ]
    assert drawing == [PACKAGE / "figures.py", PACKAGE / "figures_method.py"]


def test_only_the_views_of_explorers_and_report_draw_with_plotly():
    drawing = [path for path in MODULES if re.search(r"^\s*(import|from) plotly", path.read_text(), re.MULTILINE)]
    views = ["explore/coreset_views.py", "explore/views.py", "report_charts.py"]
    assert drawing == [PACKAGE / name for name in views]


def test_nothing_unpickles():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"pickle", "joblib", "dill"} & set(names), path
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert any(word.arg == "weights_only" and word.value.value is True for word in node.keywords), path
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
                assert any(word.arg == "allow_pickle" and word.value.value is False for word in node.keywords), path


def test_the_changelog_has_a_section_for_what_is_not_released():
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_dvc_sends_no_statistics():
    assert re.search(r"^\s*analytics = false$", (ROOT / ".dvc" / "config").read_text(), flags=re.MULTILINE)
