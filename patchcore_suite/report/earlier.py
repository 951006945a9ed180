"""What an earlier run measured and the present one has less of: it stays, and is told from what is new."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from patchcore_suite.report.measured import Block, Measured, read_values
from patchcore_suite.results.quantities import known

CELL = ["category", "variant", "shots", "seed"]  # what tells one raw result of a dataset from another
OF_EARLIER = "; of an earlier run"  # at the end of a note


def earlier_values(folder: Path, name: str, images: Mapping[str, str]) -> pd.DataFrame | None:
    """The values that were measured before; None where nothing was, or on other images.

    Args:
        folder, name: of the data.
        images: SHA-256 of the images of each category, now.

    Raises:
        InputError: they are damaged.
    """
    path = folder / f"{name}.json"
    if not path.is_file() or Measured.read(path).stamp["images"] != dict(images):
        return None
    return read_values(folder, name)


def with_earlier(new: Measured, values: pd.DataFrame, folder: Path) -> tuple[Measured, pd.DataFrame]:
    """Add what the folder holds of an earlier run on the same images, where it has more numbers than the new one.

    Args:
        new: what was measured now.
        values: each metric of each raw result of it.
        folder: of the data.

    Returns:
        both, with tables and values that the new run lacks; the stamp then names what made either.
    """
    before = earlier_values(folder, new.name, new.stamp["images"])
    if before is None:
        return new, values
    earlier = Measured.read(folder / f"{new.name}.json")
    blocks = _blocks(new.blocks, earlier.blocks)
    lacking = before[~_keys(before).isin(_keys(values))]
    if not len(lacking) and blocks == new.blocks:
        return new, values
    stamp = {**new.stamp, **{name: _both(new.stamp[name], earlier.stamp[name]) for name in new.stamp}}
    return replace(new, blocks=blocks, stamp=stamp), pd.concat([values, lacking[values.columns]], ignore_index=True)


def _blocks(new: Sequence[Block], earlier: Sequence[Block]) -> tuple[Block, ...]:
    """The new tables, or earlier ones of more numbers in their place; then those that only the earlier run has."""
    before = {block.heading: block for block in earlier}
    found = []
    for block in new:
        other = before.pop(block.heading, None)
        found.append(block if other is None or _numbers(other) <= _numbers(block) else _marked(other))
    return (*found, *map(_marked, before.values()))


def _numbers(block: Block) -> int:
    return int(block.frame.map(known).to_numpy().sum())


def _marked(block: Block) -> Block:
    return replace(block, note=block.note.removesuffix(OF_EARLIER).removesuffix(".") + OF_EARLIER)


def _keys(values: pd.DataFrame) -> pd.Series:
    """What tells one value from another, as text: of a mean over seeds, the seed is empty."""
    return values[[*CELL, "metric"]].astype({"shots": float, "seed": float}).map(str).agg("\t".join, axis=1)


def _both(new: object, earlier: object) -> object:
    """Two parts of a stamp as one: lists without repetition, mappings with the new values first."""
    if isinstance(new, Mapping):
        return {**earlier, **new}
    return [*new, *(entry for entry in earlier if entry not in new)]
