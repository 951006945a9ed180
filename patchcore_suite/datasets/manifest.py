"""What a dataset holds, checked once (see `inspection`) and written down: every image, mask and hash."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_json, write_json
from patchcore_suite.datasets.listing import sha256_content
from patchcore_suite.datasets.records import Entry, Record

SCHEMA = 3  # 2: `paper`; 3: `unused`, `bits`, a checksum
FULL = 16  # bits


@dataclass(frozen=True)
class Manifest:
    """All that is known about a dataset.

    Attributes:
        name: what the dataset is called in params.yaml.
        layout: the name of a module of `layouts`.
        paper: which of the paper's datasets it is, or stands in for; None: none of them (see `identity`).
        source: "synthetic", "download" or "folder".
        root: the folder that holds the images.
        division: how images were divided into train and test, and which ones were taken.
        warnings: what is worth knowing, one sentence each.
        entries: every image of each category, in order.
        unused: why a file of `root` is not used, by its path there.
    """

    name: str
    layout: str
    paper: str | None
    source: str
    root: Path
    division: dict[str, object]
    warnings: tuple[str, ...]
    entries: dict[str, tuple[Entry, ...]]
    unused: Mapping[str, str] = field(default_factory=dict)

    @property
    def synthetic(self) -> bool:
        """Whether the images are generated; such results are never compared with the paper."""
        return self.source == "synthetic"

    @property
    def categories(self) -> list[str]:
        """Names of the categories, in alphabetical order."""
        return sorted(self.entries)

    def records(self, category: str | None, split: str | None = None) -> list[Record]:
        """The records of a category (None: of all, one after the other), of one split or of both."""
        return [entry.record for entry in self._entries(category) if split in (None, entry.record.split)]

    def counts(self, category: str) -> dict[str, dict[str, int]]:
        """Numbers of images of a category by split and defect."""
        counts = {"train": Counter(), "test": Counter()}
        for record in self.records(category):
            counts[record.split][record.defect] += 1
        return {split: dict(counter) for split, counter in counts.items()}

    def digest(self, category: str | None) -> str:
        """SHA-256 of all that a category (None: all of them) is to the benchmark, wherever the files lie."""
        rows = []
        for entry in self._entries(category):
            record = entry.record
            row = [record.split, record.label, record.defect, record.frame, entry.image_sha256, entry.mask_sha256]
            rows.append(row if record.bits == FULL else [*row, record.bits])
        return sha256_json(rows)

    def changes(self, category: str) -> dict[Path, tuple[str, str | None]]:
        """Files of a category that are not as recorded: SHA-256 on record, and of the file; None if it is missing."""
        expected = {}
        for entry in self._entries(category):
            expected[entry.record.image] = entry.image_sha256
            if entry.record.mask:
                expected[entry.record.mask] = entry.mask_sha256
        found = {path: sha256_content(path) if path.is_file() or path.is_dir() else None for path in expected}
        return {path: (sha256, found[path]) for path, sha256 in expected.items() if found[path] != sha256}

    def check_unchanged(self, category: str) -> None:
        """Compare the files of a category with the manifest.

        Raises:
            InputError: files are missing or hold something else than when the manifest was made; all are listed.
        """
        found = self.changes(category)
        missing = [f"missing: {path}" for path, (_, sha256) in found.items() if sha256 is None]
        changed = [f"changed: {path}" for path, (_, sha256) in found.items() if sha256 is not None]
        if missing or changed:
            raise InputError(
                f"files of {self.name}/{category} are not those of its manifest",
                offenders=missing + changed,
                remedy=f"restore them, or take them as they are now with `dvc repro -f data@{self.name}`",
            )

    def write(self, path: str | Path) -> None:
        """Write the manifest as JSON."""
        sizes = {entry.size for category in self.categories for entry in self.entries[category]}
        by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
        value = {
            "schema": SCHEMA,
            "name": self.name,
            "layout": self.layout,
            "paper": self.paper,
            "source": self.source,
            "synthetic": self.synthetic,
            "root": self.root.as_posix(),
            "division": self.division,
            "warnings": list(self.warnings),
            "unused": dict(self.unused),
            "image_sizes": {"distinct": len(sizes), "smallest": by_area[0], "largest": by_area[-1]},
            "categories": {
                category: {
                    "digest": self.digest(category),
                    "counts": self.counts(category),
                    "records": [self._to_json(entry) for entry in self._entries(category)],
                }
                for category in self.categories
            },
        }
        write_json(path, value | {"sha256": sha256_json(value)})

    @classmethod
    def read(cls, path: str | Path, *, base: str | Path = "") -> "Manifest":
        """Read a manifest that `write` wrote.

        Args:
            base: the folder that a relative `root` is relative to; the working directory unless given.

        Raises:
            InputError: there is none, it is damaged, or it was written by another version.
        """
        remedy = f"run `dvc repro data@{Path(path).parent.name}`"
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"there is no manifest {path}", remedy=remedy) from None
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"the manifest {path} is damaged: {error}", remedy=remedy) from None
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise InputError(f"the manifest {path} was not written by this version (schema {SCHEMA})", remedy=remedy)
        if value.pop("sha256", None) != sha256_json(value):
            raise InputError(f"the manifest {path} is damaged: its content is not what was written", remedy=remedy)
        root = Path(base, value["root"])
        return cls(
            name=value["name"],
            layout=value["layout"],
            paper=value["paper"],
            source=value["source"],
            root=root,
            division=value["division"],
            warnings=tuple(value["warnings"]),
            unused=value["unused"],
            entries={
                category: tuple(_from_json(root, category, item) for item in described["records"])
                for category, described in value["categories"].items()
            },
        )

    def _entries(self, category: str | None) -> tuple[Entry, ...]:
        if category is None:
            return tuple(entry for name in self.categories for entry in self.entries[name])
        if category not in self.entries:
            known = ", ".join(self.categories)
            raise InputError(f"dataset {self.name} has no category {category!r}", remedy=f"choose from {known}")
        return self.entries[category]

    def _to_json(self, entry: Entry) -> dict[str, object]:
        record = entry.record
        return {
            "image": record.image.relative_to(self.root).as_posix(),
            "image_sha256": entry.image_sha256,
            "size": entry.size,
            "split": record.split,
            "label": record.label,
            "defect": record.defect,
            "mask": record.mask and record.mask.relative_to(self.root).as_posix(),
            "mask_sha256": entry.mask_sha256,
            "frame": record.frame,
        } | ({} if record.bits == FULL else {"bits": record.bits})


def _from_json(root: Path, category: str, item: dict[str, object]) -> Entry:
    record = Record(
        image=root / item["image"],
        category=category,
        split=item["split"],
        label=item["label"],
        defect=item["defect"],
        mask=item["mask"] and root / item["mask"],
        frame=item["frame"],
        bits=item.get("bits", FULL),
    )
    return Entry(record, tuple(item["size"]), item["image_sha256"], item["mask_sha256"])
