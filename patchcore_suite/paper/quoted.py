"""What papers print of whole datasets, as a table: nothing of it was run here."""

import pandas as pd

from patchcore_suite.paper.published import Published, leading_numbers
from patchcore_suite.results.formats import HEADINGS, NOTHING
from patchcore_suite.results.quantities import Cell, Quantity
from patchcore_suite.run.metric_registry import METRICS


def quoted(dataset: str) -> pd.DataFrame:
    """One row a method and setting, one column a metric, from all nominal images first.

    Args:
        dataset: as the paper calls it; of one that nothing is printed of the table is empty.
    """
    numbers = [one for one in leading_numbers(dataset) if one.metric in METRICS]
    metrics = [name for name in METRICS if any(one.metric == name for one in numbers)]
    rows: dict[tuple[object, ...], dict[str, Cell]] = {}
    for one in sorted(numbers, key=lambda one: (one.shots is not None, one.noise or 0)):
        row = rows.setdefault(_setting(one), _described(one) | {HEADINGS[name]: NOTHING for name in metrics})
        row[HEADINGS[one.metric]] = one.quantity
        said = str(row.pop("note", "")).split("; ")
        row["note"] = "; ".join(dict.fromkeys(filter(None, [*said, *one.note.split("; ")])))
    frame = pd.DataFrame(list(rows.values()))
    return frame[[name for name in frame if (frame[name].map(str) != NOTHING).any()]]  # the others say nothing


def _setting(one: Published) -> tuple[object, ...]:
    """What tells one row from another: the tables of one method share it."""
    return _source(one), one.method, one.backbone, one.resize, one.crop, one.coreset_fraction, one.shots, one.noise


def _source(one: Published) -> str:
    return "Roth et al." if one.table[:1] == "T" and one.table[1:].isdigit() else one.table


def _described(one: Published) -> dict[str, Cell]:
    return {
        "method": one.method,
        "printed by": _source(one),
        "backbone": one.backbone or NOTHING,
        "nominal images": "all" if one.shots is None else Quantity(one.shots, form="d"),
        "anomalous images in training": NOTHING if one.noise is None else Quantity(one.noise, unit="%", form="g"),
    }
