"""Nearest neighbours: exact search against its product, and what approximate searches give up."""

import torch

from benchmarks.clock import Row, Table, interleaved, product
from benchmarks.inputs import Inputs
from patchcore_core.neighbours import Index
from patchcore_core.searches import unusable
from patchcore_suite.plugins.searches import recall

SEARCHES = ("torch", "faiss", "faiss-gpu", "ivf", "ivfpq", "hnsw")
FEW = 50_000  # queries of the approximate searches
TOP = 9  # neighbours, for Eq. 7


def search(inputs: Inputs, *, repeats: int, device: str) -> Table:
    """All test patches in a memory bank of 1 %, and fewer of them by the other searches."""
    bank, queries = inputs.bank, inputs.test
    n, (rows_of_bank, d) = len(queries), bank.shape
    index = Index(bank)
    seconds = interleaved(
        {
            "ours": lambda: index.nearest(queries),
            "product": lambda: product(queries, bank),
            "top": lambda: index.nearest(queries[:FEW], TOP),
        },
        repeats,
        device=device,
    )
    operations = 2 * n * rows_of_bank * d
    rows = [
        Row("Index.nearest, k = 1", seconds["ours"], f"{n} queries, bank {rows_of_bank} x {d}", operations),
        Row("matrix product alone", seconds["product"], "", operations),
        Row(f"Index.nearest, k = {TOP}", seconds["top"], f"{min(FEW, n)} queries"),
    ]
    findings = [f"Exact search takes **{seconds['ours'] / seconds['product']:.2f}** times its product."]
    few = queries[:FEW]
    exact = index.nearest(few)[1]
    for name in SEARCHES[1:]:
        if problem := unusable(name):
            findings.append(f"{name}: not timed. {problem}")
            continue
        built = Index(bank, name)
        found: list[torch.Tensor] = []
        of_search = interleaved({name: lambda built=built, found=found: found.append(built.nearest(few)[1])}, repeats)
        rows.append(
            Row(f"search: {name}", of_search[name], f"{len(few)} queries, recall {recall(found[0], exact):.3f}")
        )
    return Table("Search", "", rows, findings)
