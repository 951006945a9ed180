"""docs/backbones.md tells of every network that its benchmark names, and none of them is misread."""

from benchmarks import backbones

TABLE = backbones._written(backbones.DOCUMENT.read_text(encoding="utf-8"))


def test_the_table_has_every_network_and_none_is_misread():
    assert [*TABLE][2:] == [*backbones.NAMES]  # after its heads
    cells = [line.strip("| ").split(" | ") for line in [*TABLE.values()][2:]]
    compared = [row for row in cells if "refused" not in row[5]]
    assert len(compared) > 60
    assert {row[7] for row in compared} == {"equal"}
    assert {row[8].split(": ")[-1] for row in compared} == {"equal", "shapes", "refused"}


def test_a_line_is_put_in_its_place_and_others_stay(monkeypatch, tmp_path):
    first, second, third = backbones.NAMES[:3]
    document = tmp_path / "backbones.md"
    monkeypatch.setattr(backbones, "DOCUMENT", document)
    document.write_text(f"Words.\n\n{backbones.MARK}\n| {third} | old |\n| {second} | old |\n| gone | old |\n")
    backbones._write({first: f"| {first} | new |", second: f"| {second} | new |"})
    text = document.read_text()
    assert text.startswith(f"Words.\n\n{backbones.MARK}\n| network | ")
    lines = text.splitlines()[-3:]
    assert lines == [f"| {first} | new |", f"| {second} | new |", f"| {third} | old |"]
