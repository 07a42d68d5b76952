"""What a GPU makes of the encoder: parity with the CPU, windows/s, memory, precision.

    python benchmarks/gpu.py                          # under eight minutes
    python benchmarks/gpu.py --device cpu --quick     # a trial of its form, anywhere

It downloads nothing.  For a machine without a network, make a folder of wheels where
there is one, of the same system and Python, and take it and ``benchmarks/`` along:

    pip wheel --no-deps -w wheels .
    pip download -d wheels --find-links wheels sklearn_mdjpt
    pip install --no-index --find-links wheels sklearn_mdjpt

Parity comes first, then what is fast to measure; compiled networks come last.  What
``--minutes`` leave no time for is named in the end.  Everything is printed as a table
of Markdown and written into ``results/gpu.csv``, one row for each measurement.

Rates of the device's own products (4096 x 4096) are measured in the same precision just
before; *share* is what the FLOPs of a model are of them.  Times are those of the device
(CUDA events), after two calls to warm up, medians of five.
"""

import argparse
import contextlib
import functools
import platform
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from speed import (
    N_TIMES,
    clock,
    fitted,
    jobs_of,
    one_subject,
    other_models,
    training_flops,
    training_step,
    windows,
)
from torch.utils.flop_counter import FlopCounterMode

from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt._torch import (
    check_precision,
    compile_blocks,
    mixed_precision,
    plain_torch,
)
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.nn import HybridEncoder, encoder_cost
from sklearn_mdjpt.nn.pretraining import DatasetPart, JointLoss, JointPretraining

RESULTS = Path(__file__).parent / "results"
PRECISIONS = ("float32", "tf32", "bf16", "fp16")
BATCHES = (16, 64, 256)
COLUMNS = (
    "part", "model", "precision", "compile", "batch", "windows_per_s", "share_of_gemm",
    "peak_mb", "max_abs", "relative", "cosine", "note",
)  # fmt: skip


# Measuring ------------------------------------------------------------------------


@contextlib.contextmanager
def precision_of(name, device):
    """Compute inside in one of `PRECISIONS`; TF32 is a setting of the process."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = name == "tf32"
    try:
        with plain_torch(), mixed_precision(own(name), device):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def own(name):
    """Return what ``precision=`` of the encoder is for one of `PRECISIONS`."""
    return "float32" if name == "tf32" else name


def precisions_of(device, say):
    """Return the precisions that a device has; say which it lacks, and why."""
    found = []
    for name in PRECISIONS:
        try:
            if name == "tf32" and (
                device.type != "cuda" or torch.cuda.get_device_capability(device) < (8,)
            ):
                raise ValueError("TF32 is of NVIDIA's GPUs from Ampere on.")
            check_precision(own(name), device)
        except ValueError as error:
            say(f"{name}: {error}")
        else:
            found.append(name)
    return found


def seconds_of(function, device, repeats=5, warm_up=2):
    """Return the median of the seconds that a call takes on the device."""
    for _ in range(warm_up):
        function()
    if device.type != "cuda":
        return statistics.median(clock(function) for _ in range(repeats))
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        start.record()
        function()
        end.record()
        torch.cuda.synchronize(device)
        times.append(start.elapsed_time(end) / 1000)
    return statistics.median(times)


def peak_of(function, device):
    """Return the largest growth of memory in a call, in MB; nan off CUDA."""
    if device.type != "cuda":
        function()
        return float("nan")
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    function()
    torch.cuda.synchronize(device)
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20


def gemm_rate(name, device, size=4096):
    """Return the device's FLOP/s in products of square matrices."""
    a, b = torch.randn(2, size, size, device=device)
    with precision_of(name, device):
        if own(name) != "float32":
            kind = torch.get_autocast_dtype(device.type)
            a, b = a.to(kind), b.to(kind)
        return 2 * size**3 / seconds_of(lambda: a @ b, device)


def waits_of(function, device):
    """Count how often the host waits for the device in a call; nan off CUDA."""
    if device.type != "cuda":
        function()
        return float("nan")
    mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            function()
        finally:
            torch.cuda.set_sync_debug_mode(mode)
    return sum("synchroniz" in str(one.message) for one in caught)


# What is measured -----------------------------------------------------------------


class Bench:
    """The rows so far, and the time that is left.

    Parameters
    ----------
    device : torch.device
        What is measured.
    minutes : float
        After these nothing new is begun.
    repeats : int
        Timed calls for each row.
    gemm_size : int
        Of the matrices that the device's rate is measured with.
    sizes : dict
        Arguments of `HybridEncoder` other than its defaults.
    """

    def __init__(self, device, minutes=8.0, repeats=5, gemm_size=4096, sizes=None):
        self.device = device
        self.model = "mdJPT paper" if sizes is None else "mdJPT, of another size"
        self.repeats = repeats
        self.gemm_size = gemm_size
        self.sizes = sizes or {}
        self.rows, self.skipped, self.notes = [], [], []
        self._end = time.monotonic() + 60 * minutes

    def add(self, function, part, model, precision, **about):
        """Run a measurement and keep its rows; note it if time or memory is out."""
        what = f"{part}, {model}, {precision}" + "".join(
            f", {name} {value}" for name, value in about.items()
        )
        if time.monotonic() > self._end:
            self.skipped.append(what)
            return
        try:
            found = function()
        except torch.OutOfMemoryError:
            found = {"note": "out of memory"}
            torch.cuda.empty_cache()
        for row in found if isinstance(found, list) else [found]:
            row = {"part": part, "model": model, "precision": precision} | about | row
            self.rows.append(row)
            numbers = {
                name: f"{value:.4g}" if isinstance(value, float) else value
                for name, value in row.items()
            }
            print("  " + ", ".join(f"{k} {v}" for k, v in numbers.items()), flush=True)

    def timed(self, function, n_windows, flops, precision):
        """Return windows/s, their share of the device's rate, and peak memory."""
        with precision_of(precision, self.device):
            rate = gemm_rate(precision, self.device, self.gemm_size)
            seconds = seconds_of(function, self.device, self.repeats)
            peak = peak_of(function, self.device)
        speed = n_windows / seconds
        return {
            "windows_per_s": speed,
            "share_of_gemm": speed * flops / rate,
            "peak_mb": peak,
        }

    def encoder(self, compile_=False, precision="float32"):
        """Return the paper's encoder with weights of one seed, on the device."""
        torch.manual_seed(0)
        encoder = HybridEncoder(**self.sizes).to(self.device).eval()
        if compile_:
            # Compilations of earlier networks count towards torch's limit.
            torch.compiler.reset()
            with precision_of(precision, self.device):
                compile_blocks(encoder, own(precision))
        return encoder


def features(encoder, x):
    """Return features of windows of one subject."""
    with torch.inference_mode():
        z = encoder.encode_channels(x)
        return encoder.features_from(z, encoder.norm_statistics([z]))


def gradients(encoder, x):
    """Return the gradient of the pre-training loss of two subjects, as one vector."""
    module, loss = JointPretraining(encoder).train(), JointLoss()
    subjects = torch.arange(2).repeat_interleave(len(x) // 2)
    parts = [DatasetPart(x, subjects, subjects)]
    encoder.zero_grad()
    loss(module(parts), parts).total.backward()
    grads = [p.grad.flatten() for p in encoder.parameters() if p.grad is not None]
    encoder.zero_grad()
    encoder.eval()
    return torch.cat(grads)


def compared(found, expected):
    """Return how far numbers are from those of the CPU in float32."""
    found, expected = found.double().cpu(), expected.double()
    change = found - expected
    return {
        "max_abs": change.abs().max().item(),
        "relative": (change.norm() / expected.norm()).item(),
        "cosine": torch.cosine_similarity(
            found.flatten(), expected.flatten(), dim=0
        ).item(),
    }


def parity(bench, precisions, n_windows=8, compiled=True):
    """Compare features and gradients with those of the CPU in float32."""
    x = windows(n_windows)
    torch.manual_seed(0)
    reference = HybridEncoder(**bench.sizes).eval()
    with precision_of("float32", torch.device("cpu")):
        expected = {f.__name__: f(reference, x) for f in (features, gradients)}
    for compile_ in (False, True) if compiled else (False,):
        for precision in precisions if not compile_ else precisions[:1]:
            for function in (features, gradients):

                def measure(function=function, precision=precision, compile_=compile_):
                    encoder = bench.encoder(compile_, precision)
                    with precision_of(precision, bench.device):
                        found = function(encoder, x.to(bench.device))
                    return compared(found, expected[function.__name__])

                bench.add(
                    measure, f"parity of {function.__name__}", bench.model,
                    precision, compile=compile_, batch=n_windows,
                )  # fmt: skip


def network(bench, precisions, batches, compile_=False):
    """Windows/s of the network alone: features, and a training step."""
    for batch in batches:
        for precision in precisions:
            about = {"compile": compile_, "batch": batch}

            def forward(batch=batch, precision=precision):
                encoder = bench.encoder(compile_, precision)
                x = windows(batch).to(bench.device)
                flops = encoder_cost(encoder, N_TIMES).flops.drop("projector").sum()
                return bench.timed(
                    lambda: features(encoder, x), batch, flops, precision
                )

            def step(batch=batch, precision=precision):
                torch.compiler.reset()
                with precision_of(precision, bench.device):
                    step, encoder = training_step(
                        "paper", 1, batch, device=bench.device,
                        precision=own(precision), compile_=compile_, **bench.sizes,
                    )  # fmt: skip
                found = bench.timed(step, batch, training_flops(encoder)[0], precision)
                if own(precision) == "float32":
                    found["note"] = f"host waits {waits_of(step, bench.device):g} times"
                return found

            bench.add(forward, "network", bench.model, precision, **about)
            bench.add(step, "training step", bench.model, precision, **about)


def end_to_end(bench, precisions, batches):
    """Windows/s of ``transform`` and of ``fit``, with reading and all checks."""
    for batch in batches:
        X = one_subject(4 * batch)
        for precision in precisions:

            def transform(X=X, batch=batch, precision=precision):
                encoder = fitted(
                    "paper", X[:2], batch_size=batch, device=str(bench.device),
                    precision=own(precision), **bench.sizes,
                )  # fmt: skip
                flops = encoder_cost(encoder.module_).flops.drop("projector").sum()
                return bench.timed(
                    lambda: encoder.transform(X), len(X), flops, precision
                )

            bench.add(transform, "transform", bench.model, precision, batch=batch)


def fit(bench, precisions, n_batches=20, n_stimuli=9):
    """Windows/s of a pre-training on two simulated datasets."""
    X = make_emotion_windows(2, n_subjects=3, n_stimuli=n_stimuli, random_state=0)
    for precision in precisions:

        def train(precision=precision):
            encoder = MDJPTEncoder(
                max_epochs=2, batches_per_epoch=n_batches, standardize=False,
                device=str(bench.device), precision=own(precision), random_state=0,
                **bench.sizes,
            )  # fmt: skip
            with precision_of(precision, bench.device):
                peak = peak_of(lambda: encoder.fit(X), bench.device)
            rows = encoder.net_.history[-1, "batches", :, "train_batch_size"]
            # The second epoch: the first resamples recordings, and warms up.
            return {
                "windows_per_s": sum(rows) / encoder.history_["seconds"].iloc[-1],
                "peak_mb": peak,
                "note": f"loss {encoder.history_['total'].iloc[-1]:.4g}",
            }

        bench.add(train, "fit", bench.model, precision, batch=4 * n_stimuli)


def others(bench, precisions, batches, names=None):
    """Windows/s of braindecode's models, forward and in a training step."""
    device = bench.device
    for name, model, n_times in other_models():
        if names is not None and name not in names:
            continue
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.eval()(windows(1, n_times))
        flops = counter.get_total_flops()
        model.to(device)
        for batch in batches:
            forward, step = jobs_of(model, windows(batch, n_times).to(device))
            for part, function, factor in (
                ("network", forward, 1),
                ("training step", step, 3),
            ):
                model.train(part == "training step")
                for precision in precisions:
                    measure = functools.partial(
                        bench.timed, function, batch, factor * flops, precision
                    )
                    bench.add(measure, part, name, precision, batch=batch)
        model.cpu()


# All of it ------------------------------------------------------------------------


def as_markdown(table):
    """Return a table of Markdown; what was not measured is empty."""

    def cell(value):
        if isinstance(value, float):
            return "" if np.isnan(value) else f"{value:.4g}"
        return str(value)

    rows = [[cell(v) for v in row] for row in table.itertuples(index=False, name=None)]
    lines = [list(table.columns), ["---"] * len(table.columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine(device):
    """Return what was measured on, in a line."""
    name = platform.processor() or platform.machine()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return f"{name}, torch {torch.__version__}, CUDA {torch.version.cuda}"


def run(bench, batches, models=None, compiled=True, n_batches=20):
    """Measure everything, what matters most first."""
    device = bench.device
    precisions = precisions_of(device, bench.notes.append)
    for precision in precisions:
        bench.add(
            lambda precision=precision: {
                "note": f"{gemm_rate(precision, device, bench.gemm_size) / 1e12:.3g} "
                "TFLOP/s"
            },
            "products", f"{bench.gemm_size} x {bench.gemm_size}", precision,
        )  # fmt: skip
    parity(bench, precisions, compiled=compiled)
    network(bench, precisions, batches)
    end_to_end(bench, precisions, batches)
    others(bench, precisions, batches, models)
    fit(bench, precisions, n_batches)
    if compiled:
        network(bench, precisions, batches[-1:], compile_=True)
    return (
        pd.DataFrame(bench.rows)
        .reindex(columns=COLUMNS)
        .fillna({"compile": False, "note": ""})
    )


def main(arguments=None):
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="a trial of its form")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU that torch can use; try --device cpu --quick")
    # A compilation that was begun is not cut off: it gets the last minute and a half.
    bench = Bench(device, max(args.minutes - 1.5, args.minutes / 2))
    options = {"batches": BATCHES}
    if args.quick:
        sizes = {"hidden_dim": 16, "latent_dim": 4, "depth": 1, "n_heads": 2}
        bench = Bench(device, args.minutes, 1, 512, sizes)
        options = {"batches": (2,), "models": ("CBraMod", "BIOT"), "n_batches": 2}
    print(machine(device))
    table = run(bench, **options)
    print(f"\n{as_markdown(table)}\n")
    for note in bench.notes:
        print(f"Not measured: {note}")
    for what in bench.skipped:
        print(f"No time was left for: {what}")
    args.output.mkdir(parents=True, exist_ok=True)
    table.assign(machine=machine(device)).to_csv(
        args.output / "gpu.csv", index=False, float_format="%.6g"
    )


if __name__ == "__main__":
    main()
