"""Inference times beside the paper's, and what approximate search loses."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import pandas as pd
import torch

from patchcore_core.config import EXACT, MethodConfig, PatchCoreConfig
from patchcore_suite.paper.beside import SYSTEMS
from patchcore_suite.paper.published import published_numbers
from patchcore_suite.plugins.searches import recall
from patchcore_suite.results import study_metrics
from patchcore_suite.results.formats import HEADINGS, NOTHING
from patchcore_suite.results.quantities import Cell, Quantity, difference
from patchcore_suite.results.sources import is_papers, paper_name
from patchcore_suite.run.inference_times import TOTAL, System
from patchcore_suite.run.raw_results import RawResult, ScoreIndex
from patchcore_suite.settings.project import ProjectDataset

METRICS = ("image_auroc", "pixel_auroc", "pro")  # of Table 5


def times_beside_paper(
    times: pd.DataFrame,
    systems: Mapping[str, System],
    skipped: Mapping[str, str],
    dataset: ProjectDataset,
    *,
    table: str = "T5",
) -> pd.DataFrame:
    """What `time_systems` returns, one row a system and batch size, and the paper's seconds beside it.

    The last rows are the systems that were not timed, and why. Images that are none of the paper's stand alone.
    """
    numbers = ()
    if is_papers(dataset):
        numbers = published_numbers(table, metric="seconds_per_image", dataset=paper_name(dataset))
    printed = {number.method: number.quantity for number in numbers}
    cells = times.pivot(index=["system", "images_at_a_time"], columns="part", values="median_ms")
    cells = cells[[part for part in times["part"].unique() if part != TOTAL]]
    totals = times[times["part"] == TOTAL].set_index(["system", "images_at_a_time"])
    rows = []
    for system, count in totals.index:
        bank, total = systems[system].bank_rows, totals.loc[(system, count)]
        parts = {f"{part} (ms)": _milliseconds(value) for part, value in cells.loc[(system, count)].items()}
        rows.append(
            {"system": system, "rows of the bank": NOTHING if bank is None else Quantity(bank, form="d")}
            | {"images at a time": Quantity(count, form="d"), **parts}
            | {"total (ms)": _milliseconds(total["median_ms"]), "95th percentile (ms)": _milliseconds(total["p95_ms"])}
            | ({"paper, on its GPU": printed.get(SYSTEMS.get(system, ""), NOTHING)} if printed else {})
        )
    rows += [{"system": system, "rows of the bank": reason} for system, reason in skipped.items()]
    return pd.DataFrame(rows).fillna(NOTHING)


def search_losses(dataset: ProjectDataset, *, study: str) -> pd.DataFrame:
    """What approximate search misses, from the raw results of a study.

    Each variant that searches approximately is compared with the study's variant that differs from it in nothing but
    an exact search, on the patches of all test images.

    Returns:
        columns variant, compared with, recall of the nearest patch and mean excess of its distance, both in percent,
        and for each metric how far it is from the exact search's, in points; no rows without such a variant.
    """
    folder = dataset.scores
    index, variants = ScoreIndex.read(folder), dataset.studies[study].variants
    configs = {variant: dataset.config(variant) for variant in variants}
    metrics = study_metrics.read_metrics(dataset, study=study)
    means = {HEADINGS[name]: study_metrics.mean_over_categories(metrics, name) for name in METRICS}
    rows = []
    for variant in variants:
        exact = next((name for name in variants if _searches_exactly_for(configs[variant], configs[name])), None)
        if exact is None:
            continue
        patches = pd.DataFrame(_searched_patches(index, folder, variant, exact), columns=["recall", "excess"]).mean()
        changes = {
            f"{title} (points)": difference(_mean(frame, variant) - _mean(frame, exact))
            for title, frame in means.items()
        }
        rows.append(
            {"variant": variant, "compared with": exact}
            | {"recall (%)": Quantity(patches["recall"], unit="%")}
            | {"excess distance (%)": Quantity(patches["excess"], unit="%", form=".2f")}
            | changes
        )
    columns = ["variant", "compared with", "recall (%)", "excess distance (%)", *(f"{name} (points)" for name in means)]
    return pd.DataFrame(rows, columns=columns)


def _searches_exactly_for(config: MethodConfig, other: MethodConfig) -> bool:
    """Whether `other` searches exactly where `config` does not, and all else is the same."""
    if not isinstance(config, PatchCoreConfig) or not isinstance(other, PatchCoreConfig):
        return False
    alike = all(getattr(config, f.name) == getattr(other, f.name) for f in fields(config) if f.name != "search")
    return alike and config.search not in EXACT and other.search in EXACT


def _searched_patches(index: ScoreIndex, folder: Path, variant: str, exact: str) -> Iterator[tuple[float, float]]:
    """Recall and mean relative excess of the distance, for each category and seed."""
    references: dict[tuple[str, int], RawResult] = {
        (cell["category"], cell["seed"]): result
        for cell, result in index.results(folder, variant=exact)
        if cell["shots"] is None
    }
    for cell, result in index.results(folder, variant=variant):
        reference = references.get((cell["category"], cell["seed"]))
        if cell["shots"] is None and reference is not None:
            found, true = (torch.from_numpy(one.indices).reshape(-1, 1) for one in (result, reference))
            yield recall(found, true), float(result.distances.mean() / reference.distances.mean() - 1)


def _mean(frame: pd.DataFrame, variant: str) -> float:
    return frame.loc[frame["variant"] == variant, "value"].mean(skipna=False)


def _milliseconds(value: float) -> Cell:
    return NOTHING if pd.isna(value) else Quantity(value)
