"""`python -m benchmarks.shards`: what it measures at a small size, and what its model makes of that."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import cost_model, shards
from patchcore_suite.shards.files import RowFile

EXACT = cost_model.Model(a_product=1e-9, a_row=1e-6, fixed=3.0, picks_a_round=200, bytes_a_round=1e6, worst=0.0)


def test_a_model_is_fitted_to_what_was_measured():
    measured = [
        {
            "rows": n,
            "picks": n / 1000,
            "core_seconds": EXACT.core_seconds(n, n / 1000),
            "shards": 2,
            "rounds": n / 1000 / 200,
            "sent_bytes": 0,
            "received_bytes": 2 * n / 1000 / 200 * 1e6,
        }
        for n in (1e5, 1e6, 4e6, 2e7)
    ]
    found = cost_model.fitted(measured)
    assert found.a_product == pytest.approx(1e-9)
    assert found.a_row == pytest.approx(1e-6)
    assert found.fixed == pytest.approx(3)
    assert (found.picks_a_round, found.bytes_a_round) == pytest.approx((200, 1e6))
    assert found.worst < 1e-6


def test_what_more_rows_take_is_a_line_each():
    *_, line = cost_model.told(EXACT, [1e9], 0.001, cost_model.Assumed(cores=10, memory_gb=100, price=0.1))
    # 1e9 rows of 76 bytes fit one machine of 100 GB; 1e9 * 1e6 * 1e-9 = 1e6 core seconds.
    _, rows, picks, machines, hours, memory, network, money, _ = (part.strip() for part in line.split("|"))
    assert (rows, picks, machines) == ("1e+09", "1e+06", "1")
    assert float(hours) == pytest.approx(1e6 / 10 / 3600, rel=0.05)
    assert float(memory) == pytest.approx(70.8, rel=0.05)
    assert float(network) == pytest.approx(5000 * 1e6 / 2**30, rel=0.05)
    assert float(money) == pytest.approx(float(hours) * 10 * 0.1, rel=0.05)


def test_a_cheaper_selection_pays_from_where_it_saves_enough():
    found = cost_model.pays_from(EXACT, lambda rows, picks: 0.0, fraction=0.001, saved_s=1e4)
    assert EXACT.core_seconds(found, found / 1000) == pytest.approx(1e4, rel=0.05)
    assert cost_model.pays_from(EXACT, EXACT.core_seconds, fraction=0.001, saved_s=1) == math.inf


def test_rates_of_cheaper_selections_are_carried_on():
    lines = [
        {"sampler": "greedy", "rows": 1e5, "picks": 1e3, "core_seconds": 1.0},
        {"sampler": "two_round, both", "rows": 1e5, "picks": 1e3, "core_seconds": 2.0},
        {"sampler": "distance_sampling", "rows": 1e5, "picks": 1e3, "core_seconds": 20.0},
    ]
    found = cost_model.rates(lines)
    assert found["two_round, both"](2e5, 2e3) == pytest.approx(8.0)
    assert found["distance_sampling"](2e5, 2e3) == pytest.approx(40.0)
    # 1e-12 n^2 + 1e-6 n + 3 - 2e-4 n = 3600 at n = 2.16e8, where two rounds have cost 20 times as much.
    *_, two_round, sampling = cost_model.paying(EXACT, lines, 0.001, [1])
    assert two_round == "| two_round, both | never |"
    assert float(sampling.split()[4]) == pytest.approx(2.16e8, rel=0.02)


def test_picks_over_shards_are_set_beside_those_of_one_process(tmp_path):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(900, 8)).astype(np.float32))
    lines = list(shards.compare(RowFile.of_array(tmp_path / "rows.npy")))
    assert [line.split("|")[3].strip() for line in lines[2:]] == ["9 of 9"] * 4 + ["900 of 900"] * 4


@pytest.mark.long
def test_a_selection_under_a_budget_says_what_it_took(tmp_path):
    command = [sys.executable, "-m", "benchmarks.shards", "memory", tmp_path, "--rows", "20000"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert (found["rows"], found["picks"], found["shards"]) == (20_000, 20, 2)
    assert found["peak_bytes"]["both"] >= found["peak_bytes"]["anonymous"] > 0
    assert found["core_seconds"] > 0
    assert list(tmp_path.iterdir()) == []
    refused = subprocess.run([*command, "--memory-gb", "0.5"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "--memory-gb 0.5 is below" in refused.stderr
