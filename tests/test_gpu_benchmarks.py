"""The benchmarks of GPUs and precision, tiny and on the CPU."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"
TINY = {"hidden_dim": 8, "latent_dim": 4, "depth": 1, "n_heads": 1}
CPU = torch.device("cpu")


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import gpu

    return gpu


@pytest.fixture
def precision(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import precision

    return precision


def make_bench(gpu, minutes=1.0):
    return gpu.Bench(CPU, minutes, repeats=1, gemm_size=32, sizes=TINY)


def test_parity_is_found_and_lost(gpu):
    bench = make_bench(gpu)
    gpu.parity(bench, ["float32", "bf16"], n_windows=4, compiled=False)
    rows = {(row["part"], row["precision"]): row for row in bench.rows}
    assert len(rows) == 4
    for part in ("features", "gradients"):
        same = rows[f"parity of {part}", "float32"]
        half = rows[f"parity of {part}", "bf16"]
        assert same["max_abs"] == same["relative"] == 0
        assert 0 < half["relative"] < 0.5 and half["cosine"] > 0.9


def test_distances_are_those_of_the_formulas(gpu):
    expected = torch.tensor([3.0, 4.0])
    found = gpu.compared(torch.tensor([3.0, 4.5]), expected)
    assert found["max_abs"] == 0.5 and found["relative"] == pytest.approx(0.1)
    cosine = (9 + 18) / (5 * math.hypot(3, 4.5))
    assert found["cosine"] == pytest.approx(cosine)


def test_speeds_of_ours(gpu):
    bench = make_bench(gpu)
    gpu.network(bench, ["float32", "bf16"], (2,))
    gpu.end_to_end(bench, ["float32"], (2,))
    gpu.fit(bench, ["bf16"], n_batches=1, n_stimuli=2)
    table = pd.DataFrame(bench.rows)
    assert table["part"].tolist() == [
        "network", "training step", "network", "training step", "transform", "fit",
    ]  # fmt: skip
    assert (table["windows_per_s"] > 0).all()
    assert (table["share_of_gemm"][:-1] > 0).all()
    assert set(table["model"]) == {"mdJPT, of another size"}


def test_what_no_time_is_left_for_is_said(gpu):
    bench = make_bench(gpu, minutes=0)
    gpu.network(bench, ["float32"], (2,))
    assert not bench.rows
    assert [what.split(",")[0] for what in bench.skipped] == [
        "network", "training step",
    ]  # fmt: skip
    assert "batch 2" in bench.skipped[0]


def test_memory_that_is_out_is_a_row(gpu):
    def fail():
        raise torch.OutOfMemoryError("too much")

    bench = make_bench(gpu)
    bench.add(fail, "network", "large", "float32", batch=7)
    assert bench.rows == [
        {
            "part": "network", "model": "large", "precision": "float32", "batch": 7,
            "note": "out of memory",
        }
    ]  # fmt: skip


def test_precisions_of_the_cpu(gpu):
    said = []
    assert gpu.precisions_of(CPU, said.append) == ["float32", "bf16", "fp16"]
    assert len(said) == 1 and "tf32" in said[0]
    before = torch.get_float32_matmul_precision()
    with gpu.precision_of("tf32", CPU):
        assert torch.get_float32_matmul_precision() == "high"
    with gpu.precision_of("bf16", CPU):
        assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16
        assert torch.is_autocast_enabled("cpu")
    assert torch.get_float32_matmul_precision() == before


def test_the_table_is_markdown(gpu):
    table = pd.DataFrame({"a": ["x", "y"], "b": [1.23456, np.nan]})
    assert gpu.as_markdown(table).splitlines() == [
        "| a | b |", "| --- | --- |", "| x | 1.235 |", "| y |  |",
    ]  # fmt: skip


def test_accuracies_are_compared_by_person(precision):
    scores = pd.DataFrame(
        {
            "data": "d",
            "protocol": "p",
            "seed": 0,
            "subject": ["1", "2"] * 3,
            "precision": np.repeat(["float32", "bf16", "fp16"], 2),
            "value": [0.5, 0.6, 0.52, 0.57, 0.5, 0.6],
            "feature_change": [np.nan] * 2 + [0.01] * 4,
        }
    )
    table = precision.differences(scores).set_index("precision")
    assert table.loc["bf16", "difference"] == pytest.approx(-0.5)
    assert table.loc["bf16", "largest_by_person"] == pytest.approx(3.0)
    assert table.loc["fp16", "difference"] == 0
    assert table.loc["float32", "balanced_accuracy"] == pytest.approx(55)


def test_speeds_by_precision(precision):
    table = precision.speed(n_windows=2, repeats=1, sizes=("small",))
    assert table["precision"].tolist() == ["float32", "bf16", "fp16"]
    assert table["times_float32"][0] == 1 and (table["windows_per_s"] > 0).all()
