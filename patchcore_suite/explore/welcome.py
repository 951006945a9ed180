"""What the welcome notebook says of this copy of the project: which results are there, and what to run for more."""

from patchcore_core.common.errors import InputError
from patchcore_suite.explore.available import read_index
from patchcore_suite.settings.project import Project


def state(project: Project) -> str:
    """Which datasets have results, as Markdown; what is wrong with the others, and what helps."""
    rows, problems = [], []
    for name, dataset in project.datasets.items():
        try:
            index = read_index(dataset)
            manifest = dataset.manifest()
        except InputError as error:
            rows.append(f"| `{name}` | not yet | | |")
            problems.append(f"**{name}.** {error}".replace("\n", "  \n"))
            continue
        origin = "SYNTHETIC" if index.synthetic else "real images"
        rows.append(f"| `{name}` | {origin} | {len(manifest.categories)} | {len(index.cells)} |")
    table = "\n".join(["| dataset | results | categories | raw results |", "|---|---|---|---|", *rows])
    if not problems:
        return f"{table}\n\nAll results are there. The report is in `reports/index.html`."
    everything = (
        "Run `make repro` in a terminal: it computes what is missing, with the default images in about 10 minutes."
    )
    return "\n\n".join([table, everything, *problems])
