"""What the welcome notebook says of this copy of the project: which results are there, and what to run for more."""

from patchcore_core.common.errors import InputError
from patchcore_suite.datasets.manifest import Manifest
from patchcore_suite.explore.categories import read_index
from patchcore_suite.settings.params import Params


def state(params: Params) -> str:
    """Which datasets have results, as Markdown; what is wrong with the others, and what helps."""
    rows, problems = [], []
    for dataset in params.datasets:
        try:
            index = read_index(dataset, params)
            manifest = Manifest.read(params.path(f"data/{dataset}/manifest.json"), base=params.root)
        except InputError as error:
            rows.append(f"| `{dataset}` | not yet | | |")
            problems.append(f"**{dataset}.** {error}".replace("\n", "  \n"))
            continue
        origin = "SYNTHETIC" if index.synthetic else "real images"
        rows.append(f"| `{dataset}` | {origin} | {len(manifest.categories)} | {len(index.cells)} |")
    table = "\n".join(["| dataset | results | categories | raw results |", "|---|---|---|---|", *rows])
    if not problems:
        return f"{table}\n\nAll results are there. The report is in `reports/index.html`."
    everything = (
        "Run `make repro` in a terminal: it computes what is missing, with the default images in about 12 minutes."
    )
    return "\n\n".join([table, everything, *problems])
