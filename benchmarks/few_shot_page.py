"""The page docs/few_shot.md: what was run, what papers print, and which images were drawn."""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import pandas as pd

from patchcore_suite.paper.published import Published, leading_numbers, published_numbers
from patchcore_suite.run.cells import Plan
from patchcore_suite.run.metric_registry import METRICS

TURNED = "-turned"  # how the name of a variant ends that turns nominal images
METHODS = {
    "patchcore": "PatchCore, 25 %",
    "spade": "SPADE",
    "padim": "PaDiM",
    "anomaly_dino": "AnomalyDINO",
    "subspace_ad": "SubspaceAD",
    "rad": "RAD",
    "super_add": "SuperADD",
    "mh_patchcore": "MH-PatchCore",
    "softpatch": "SoftPatch",
    "dn2": "DN2",
    "mahalanobis": "Mahalanobis AD",
}
DRAWS = {
    "nested": "drawn with the seed, more holding the fewer (`draw: nested`)",
    "blocks": "drawn as AnomalyDINO draws them (`draw: blocks`)",
}
NAMES = {"mvtec-ad": "MVTec AD", "mtd": "MTD"}
HEAD = """# Few nominal images

Measured by this suite on real images, and written by the command that measures, not by hand:

```sh
python -m benchmarks.few_shot --mvtec FOLDER --mtd FOLDER --train-list lists/mtd_train_filenames.txt
```

All methods see the same feature maps: hierarchy 3 of `tf_efficientnet_lite0` (14 x 14 patches of an image), whose
weights come from the package index. So the rows say what a method makes of few images, not which network is the
best. Values are percent, mean ± standard deviation over {seeds} seeds, each of which draws its own images.
"Turned": each nominal image as it is and turned by 45, 90, ... 315 degrees, as AnomalyDINO does by default
(`rotations` of a variant). All settings: `grids/few_shot.yaml`.

## Protocols

- `draw: nested`, the default: a seed puts the nominal images in an order of chance, and n shots are the first n.
  WinCLIP draws by chance, too, and gives means over 5 seeds. Its lists could not be found: no image is named in the
  paper or in code of its authors, and one list of a single run, which later code carries, does not say where it
  comes from.
- `draw: blocks`: AnomalyDINO's, as its public code has it: of the files in the order of their names, seed s takes n
  from number s * n on. Its paper runs 1, 2, 4, 8 and 16 shots with seeds 0, 1 and 2.
- Each raw result names the images that it learned from (`drawn` in its stamp); those of this page stand at its end.
- One model for all categories (`together: true`), with few images and with all, has a page of its own:
  [one_model.md](one_model.md).
"""
PRINTED = """## Printed by papers

None of it was run here. Means over all 15 categories of MVTec AD unless a row says `bottle`, with other networks
and image sizes than above: to be read beside the tables above, not against them.
"""


def page(found: Sequence[tuple[Plan, pd.DataFrame]]) -> str:
    """The whole page.

    Args:
        found: of each dataset its cells, and its metrics (category, variant, shots, seed, a column a metric).
    """
    seeds = max(frame.loc[frame["shots"].notna(), "seed"].nunique() for _, frame in found)
    parts = [HEAD.format(seeds=seeds)]
    for work, frame in found:
        for category in work.manifest.categories:
            parts.append(_measured(work, category, frame[frame["category"] == category]))
    parts.append(PRINTED + _printed())
    parts.append("## Images that were drawn\n" + "".join(_drawn(work) for work, _ in found))
    return "\n".join(parts)


def _measured(work: Plan, category: str, frame: pd.DataFrame) -> str:
    protocol = work.dataset.settings.protocol.draw
    name = NAMES[work.manifest.paper]
    title = f"## {name}" + ("" if category == work.dataset.name else f", `{category}`") + f": {DRAWS[protocol]}\n"
    metrics = [metric.heading for metric in METRICS.values() if metric.heading in frame]
    counts = work.manifest.counts(category)
    images = f"{sum(counts['train'].values())} nominal training images, {sum(counts['test'].values())} test images."
    tables = [results_table(frame, metric) for metric in metrics]
    return "\n".join([title, images, *tables, *turning(frame, metrics)]) + "\n"


def results_table(frame: pd.DataFrame, metric: str) -> str:
    """A row a method and way to give it images, a column a number of them."""
    shots = sorted(frame["shots"].dropna().astype(int).unique())
    lines = []
    for variant, label in _labels(frame["variant"]):
        of = frame[(frame["variant"] == variant) & frame[metric].notna()]
        if of.empty:  # it draws no maps
            continue
        cells = [mean_and_spread(of.loc[of["shots"] == count, metric]) for count in shots]
        lines.append([label, *cells, mean_and_spread(of.loc[of["shots"].isna(), metric])])
    return f"\n**{metric}**\n\n" + table(["method", *map(str, shots), "all"], lines)


def turning(frame: pd.DataFrame, metrics: Sequence[str]) -> list[str]:
    """What turned images change, method by method: a sentence each, of differences with the same images and seeds."""
    drawn = frame[frame["shots"].notna()].set_index(["variant", "shots", "seed"])[list(metrics)]
    said = []
    for name, label in METHODS.items():
        if not {name, name + TURNED} <= set(drawn.index.get_level_values("variant")):
            continue
        steps = (drawn.xs(name + TURNED) - drawn.xs(name)).dropna(axis="columns", how="all").dropna()
        changes = ", ".join(f"{metric} {mean_and_spread(steps[metric], sign='+')}" for metric in steps)
        said.append(f"- {label}: {changes} ({len(steps)} pairs)")
    head = "\nWhat turning changes, in points: mean ± standard deviation of differences of the same images and seed.\n"
    return [head, *said] if said else []


def _labels(variants: pd.Series) -> list[tuple[str, str]]:
    there = set(variants)
    names = [name + end for name in METHODS for end in ("", TURNED)]
    ends = {True: ", turned", False: ""}
    return [(name, METHODS[name.removesuffix(TURNED)] + ends[name.endswith(TURNED)]) for name in names if name in there]


def mean_and_spread(values: pd.Series, *, sign: str = "") -> str:
    """ "97.1 ± 0.4", without a spread of a single value, and a dash of none."""
    if values.empty:
        return "-"
    spread = f" ± {values.std():.1f}" if len(values) > 1 else ""
    return f"{values.mean():{sign}.1f}{spread}"


def table(head: Sequence[str], lines: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """A table of Markdown, whose first columns are texts, and the others numbers."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines)) + "\n"


def _printed() -> str:
    """Published numbers of few nominal images, a table a metric."""
    numbers = [one for one in leading_numbers("MVTec AD") if one.shots is not None]
    numbers += published_numbers("RegAD", metric="image_auroc", category="bottle")
    parts = []
    for metric in ("image_auroc", "pro"):
        rows: dict[tuple[str, ...], dict[int, Published]] = {}
        for one in numbers:
            if one.metric == metric:
                rows.setdefault(_row(one), {})[one.shots] = one
        shots = sorted({count for of in rows.values() for count in of})
        lines = [[*row, *(str(of[n].quantity) if n in of else "-" for n in shots)] for row, of in rows.items()]
        head = ["method", "printed by", "of", *map(str, shots)]
        parts.append(f"\n**{METRICS[metric].heading}**\n\n" + table(head, lines, texts=3))
    return "".join(parts)


def _row(one: Published) -> tuple[str, ...]:
    return one.method, one.table, "15 categories" if one.category == "mean" else f"`{one.category}`"


def _drawn(work: Plan) -> str:
    """For each seed, what each number of images adds to the one before, or which they are."""
    lines = {}
    nested = work.dataset.settings.protocol.draw == "nested"
    for cell in work.cells:
        if cell.shots is not None:
            lines[cell.category, cell.seed, cell.shots] = cell.stamp["drawn"]
    parts, before = [], {}
    for (category, seed, shots), names in sorted(lines.items()):
        new = [name for name in names if name not in before.get((category, seed), ())] if nested else names
        before[category, seed] = names
        parts.append([category, str(seed), str(shots), ", ".join(PurePosixPath(name).stem for name in new)])
    what = "added to those of the row above" if nested else "drawn"
    text = table(["category", "seed", "shots", f"images {what}"], parts, texts=4)
    return f"\n**{NAMES[work.manifest.paper]}, `draw: {work.dataset.settings.protocol.draw}`**\n\n{text}"
