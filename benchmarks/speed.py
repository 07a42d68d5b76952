"""Speed and memory of the encoder, beside the machine's own rate and other models.

Run ``python benchmarks/speed.py`` from a checkout in which the package is installed;
``--quick`` is a trial of a minute.  See ``benchmarks/README.md``.

Every repeat of every measurement is framed by two timings of a product of two 2048 x
2048 matrices, and its share of the machine's rate is taken from those: shared machines
change their speed within seconds.
"""

import argparse
import platform
import resource
import statistics
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
import torch
from matplotlib.ticker import FixedLocator, NullLocator
from torch.utils.flop_counter import FlopCounterMode

from sklearn_mdjpt import EEGWindows, MDJPTEncoder
from sklearn_mdjpt._torch import compile_blocks
from sklearn_mdjpt.channels import CANONICAL_CHANNELS
from sklearn_mdjpt.encoder._processes import SingleProcess
from sklearn_mdjpt.nn import HybridEncoder, encoder_cost
from sklearn_mdjpt.nn.pretraining import DatasetPart, JointLoss, JointPretraining

RESULTS = Path(__file__).parent / "results"
SECONDS = 5
N_TIMES = 625
N_CHANS = 60
VARIANTS = ("paper", "released")
TABLES = ("transform", "training", "others", "scaling", "peaks")


# Measuring ------------------------------------------------------------------------


class Gemm:
    """The machine's rate of float32 matrix multiplication, FLOP/s."""

    def __init__(self, size=2048):
        self.flops = 2 * size**3
        self.a, self.b = torch.randn(2, size, size)
        self.out = torch.empty(size, size)

    def rate(self):
        """Return the rate now."""
        return self.flops / clock(lambda: torch.mm(self.a, self.b, out=self.out))


def clock(function):
    """Seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(function, n_windows, flops_per_window, gemm, repeats):
    """Return medians over repeats: windows/s, GEMM rate, and share of that rate."""
    function()
    rows = []
    for _ in range(repeats):
        before = gemm.rate()
        seconds = clock(function)
        rate = (before + gemm.rate()) / 2
        speed = n_windows / seconds
        rows.append((speed, rate, speed * flops_per_window / rate))
    speed, rate, share = (
        statistics.median(column) for column in zip(*rows, strict=True)
    )
    return {
        "windows_per_s": speed,
        "gemm_gflops": rate / 1e9,
        "gflop_per_window": flops_per_window / 1e9,
        "share_of_gemm": share,
        "share_min": min(row[2] for row in rows),
        "share_max": max(row[2] for row in rows),
    }


class PeakMemory:
    """Growth of the resident memory inside a ``with`` block, in MB."""

    def __enter__(self):
        self._before = self._peak = resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._done.set()
        self._thread.join()
        self.growth = (max(self._peak, resident()) - self._before) / 2**20

    def _watch(self):
        while not self._done.wait(0.002):
            self._peak = max(self._peak, resident())


def resident():
    """Bytes of resident memory; outside Linux, the most there has ever been."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# What is measured -----------------------------------------------------------------


def windows(n, n_times=N_TIMES, n_chans=N_CHANS):
    """White noise: what is in a window does not change its cost."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, n_chans, n_times, generator=generator)


def one_subject(n):
    """Return EEGWindows of one subject on the canonical channels at 125 Hz."""
    return EEGWindows.from_arrays(
        windows(n).numpy(),
        ch_names=list(CANONICAL_CHANNELS),
        sfreq=125.0,
        dataset="noise",
        subject="1",
    )


def fitted(variant, X, **kwargs):
    """Return an encoder with its initial weights."""
    return MDJPTEncoder(
        variant=variant, max_epochs=0, standardize=False, random_state=0, **kwargs
    ).fit(X)


def training_step(
    variant, n_datasets, n_windows, n_times=N_TIMES, device="cpu", precision="float32",
    compile_=False, **kwargs,
):  # fmt: skip
    """Return a function that does one step on pairs of subjects of some datasets."""
    torch.manual_seed(0)
    module = JointPretraining(HybridEncoder(variant=variant, **kwargs)).to(device)
    if compile_:
        compile_blocks(module.encoder, precision)
    # float16 needs its loss scaled, as MDJPTEncoder does it.
    process = SingleProcess(torch.device(device), precision)
    loss = JointLoss()
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-4, weight_decay=1e-4)
    n_each = n_windows // n_datasets // 2
    subjects = torch.arange(2).repeat_interleave(n_each)
    x = windows(2 * n_each, n_times).to(device)
    parts = [DatasetPart(x.clone(), subjects, subjects) for _ in range(n_datasets)]

    def step():
        optimizer.zero_grad()
        with process.autocast():
            outputs = module(parts)
        process.backward(loss(outputs, parts).total, optimizer)
        process.step(optimizer)

    return step, module.encoder


def training_flops(encoder, n_times=N_TIMES):
    """FLOPs of a training step for one window; the second has no recomputation."""
    forward = encoder_cost(encoder, n_times).flops.sum()
    return 4 * forward, 3 * forward


# Models of braindecode, which want 5 s at the rate that each was trained at.
OTHERS = {"Labram": 200, "CBraMod": 200, "BIOT": 200, "EEGPT": 256}


def other_models():
    """Yield (name, model, input for one window) for braindecode's models."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from braindecode import models
        except (ImportError, RuntimeError) as error:
            print(f"braindecode's models are left out: {error}")
            return
        names = [
            name
            for montage in mne.channels.get_builtin_montages()
            if montage.endswith("1005")
            for name in mne.channels.make_standard_montage(montage).ch_names
        ]
        spelling = {name.upper(): name for name in names}
        ch_names = [spelling[name] for name in CANONICAL_CHANNELS]
        for name, sfreq in OTHERS.items():
            n_times = SECONDS * sfreq
            model = getattr(models, name)(
                n_chans=N_CHANS,
                n_times=n_times,
                n_outputs=3,
                sfreq=sfreq,
                chs_info=[{"ch_name": ch} for ch in ch_names],
            )
            if name == "Labram":
                model = _WithChannelNames(model, ch_names)
            yield name, model, n_times


class _WithChannelNames(torch.nn.Module):
    """Labram, told the names of the channels in each call."""

    def __init__(self, model, ch_names):
        super().__init__()
        self.model, self.ch_names = model, ch_names

    def forward(self, x):
        return self.model(x, ch_names=self.ch_names)


# The tables -----------------------------------------------------------------------


def transform_table(args, gemm):
    """Windows/s of ``MDJPTEncoder.transform``, all that it does included."""
    rows = []
    X = one_subject(args.n_windows)
    for variant in VARIANTS:
        for batch_size in (1, 8, 16, 64):
            encoder = fitted(variant, X, batch_size=batch_size)
            flops = encoder_cost(encoder.module_).flops.drop("projector").sum()
            for n_threads in args.threads:
                torch.set_num_threads(n_threads)
                result = measure(
                    lambda encoder=encoder: encoder.transform(X),
                    len(X), flops, gemm, args.repeats,
                )  # fmt: skip
                rows.append(
                    {"model": f"mdJPT {variant}", "what": "transform"}
                    | {"batch": batch_size, "threads": n_threads}
                    | result
                )
                show(rows[-1])
    return rows


def training_table(args, gemm):
    """Windows/s of a training step, optimiser included."""
    rows = []
    for variant in VARIANTS:
        for n_windows in args.training_windows:
            n_datasets = 3 if n_windows % 6 == 0 else 1
            step, encoder = training_step(variant, n_datasets, n_windows)
            recomputed, plain = training_flops(encoder)
            for n_threads in args.threads:
                torch.set_num_threads(n_threads)
                result = measure(step, n_windows, recomputed, gemm, args.repeats)
                result["share_without_recomputation"] = (
                    result["share_of_gemm"] * plain / recomputed
                )
                rows.append(
                    {"model": f"mdJPT {variant}", "what": "training step"}
                    | {"batch": n_windows, "threads": n_threads}
                    | result
                )
                show(rows[-1])
    return rows


def jobs_of(model, x):
    """Return functions that run a classifier forward, and with its gradient."""
    target = torch.zeros(len(x), dtype=torch.long, device=x.device)

    def forward():
        with torch.inference_mode():
            model(x)

    def step():
        model.zero_grad()
        torch.nn.functional.cross_entropy(model(x), target).backward()

    return forward, step


def others_table(args, gemm):
    """Windows/s of braindecode's models, forward and in a training step."""
    rows = []
    for name, model, n_times in other_models():
        n_parameters = sum(p.numel() for p in model.parameters())
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.eval()(windows(1, n_times))
        flops = counter.get_total_flops()
        for batch_size in (1, 16) if not args.quick else (1,):
            forward, step = jobs_of(model, windows(batch_size, n_times))
            for what, function, factor in (
                ("transform", forward, 1),
                ("training step", step, 3),
            ):
                model.train(what == "training step")
                for n_threads in args.threads:
                    torch.set_num_threads(n_threads)
                    result = measure(
                        function, batch_size, factor * flops, gemm, args.repeats
                    )
                    rows.append(
                        {"model": name, "what": what, "batch": batch_size}
                        | {"threads": n_threads, "parameters": n_parameters}
                        | result
                    )
                    show(rows[-1])
    return rows


SCALES = {
    "windows": (16, 32, 64, 128),
    "channels": (15, 30, 60, 120),
    "window length": (312, 625, 1250, 2500),
    "datasets": (1, 2, 4, 8),
}


def scaling_table(args, gemm):
    """Cost against windows, channels, window length and datasets."""
    torch.set_num_threads(max(args.threads))
    rows = []
    for what, sizes in SCALES.items():
        for size in sizes[: 2 if args.quick else None]:
            if what == "windows":
                X = one_subject(size)
                encoder = fitted("paper", X)

                def function(encoder=encoder, X=X):
                    encoder.transform(X)
            elif what == "datasets":
                function, _ = training_step("paper", size, 8 * size)
            else:
                n_chans = size if what == "channels" else N_CHANS
                n_times = size if what == "window length" else N_TIMES
                module = HybridEncoder(n_chans=n_chans)
                x = windows(8, n_times, n_chans)

                def function(module=module, x=x):
                    with torch.inference_mode():
                        module(x, project=False)

            # By the machine's rate at the time, in units of one second at its best.
            result = measure(function, 1, 1.0, gemm, args.repeats)
            gemms = result["gemm_gflops"] / result["windows_per_s"]
            rows.append({"what": what, "size": size, "gflop_of_gemm": gemms})
            print(f"  {what:>15} {size:>5}: {gemms:8.1f} GFLOP of GEMM", flush=True)
    table = pd.DataFrame(rows)
    for what, part in table.groupby("what", sort=False):
        slope = np.polyfit(np.log(part["size"]), np.log(part["gflop_of_gemm"]), 1)[0]
        table.loc[part.index, "exponent"] = slope
        print(f"  cost ~ ({what}) ** {slope:.2f}")
    return table


PEAKS = {
    "transform paper, 64 windows, batch 1": ("transform", "paper", 64, 1),
    "transform paper, 64 windows, batch 16": ("transform", "paper", 64, 16),
    "transform paper, 256 windows, batch 64": ("transform", "paper", 256, 64),
    "transform released, 256 windows, batch 64": ("transform", "released", 256, 64),
    "training step paper, 78 windows": ("training", "paper", 78, 16),
    "training step released, 78 windows": ("training", "released", 78, 16),
    "training step paper, 156 windows": ("training", "paper", 156, 16),
    "training step paper, 12 windows": ("training", "paper", 12, 16),
    "training step paper, 12 windows, chunk_size=None": (
        "training",
        "paper",
        12,
        None,
    ),  # fmt: skip
    "transform released, 10,000 windows of one subject": (
        "transform",
        "released",
        10_000,
        64,
    ),  # fmt: skip
}


def peak(name):
    """Peak growth in memory of one job, in this process."""
    what, variant, n_windows, size = PEAKS[name]
    if what == "transform":
        X = one_subject(n_windows)
        encoder = fitted(variant, X[:2], batch_size=size)
        encoder.transform(X[:2])
        with PeakMemory() as memory:
            encoder.transform(X)
    else:
        warm_up, _ = training_step(variant, 1, 4)
        warm_up()
        step, _ = training_step(variant, 3, n_windows, chunk_size=size)
        with PeakMemory() as memory:
            step()
    return memory.growth


def peaks_table(args):
    """Peak growth in memory, each job in a process of its own."""
    rows = []
    for name in list(PEAKS)[: 2 if args.quick else None]:
        command = [sys.executable, __file__, "--peak", name]
        output = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append({"what": name, "peak_growth_mb": float(output.stdout.split()[-1])})
        print(f"  {name}: {rows[-1]['peak_growth_mb']:.0f} MB", flush=True)
    return pd.DataFrame(rows)


def show(row):
    """Print a row of a table."""
    print(
        f"  {row['model']:>14} {row['what']:>13}, batch {row['batch']:>2}, "
        f"{row['threads']} threads: {row['windows_per_s']:7.2f} windows/s, "
        f"{row['share_of_gemm']:4.0%} of {row['gemm_gflops']:.0f} GFLOP/s",
        flush=True,
    )


def draw(speed, scaling, path):
    """Draw the share of the machine's rate, and cost against size."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    best = speed[speed["threads"] == speed["threads"].max()]
    best = best.loc[best.groupby(["model", "what"])["windows_per_s"].idxmax()]
    best = best.sort_values(["what", "share_of_gemm"])
    labels = best["model"] + ", " + best["what"]
    ours = best["model"].str.startswith("mdJPT")
    axes[0].barh(labels, 100 * best["share_of_gemm"], color=np.where(ours, "C0", "0.7"))
    for i, value in enumerate(best["windows_per_s"]):
        axes[0].text(1, i, f"{value:.3g} windows/s", va="center", fontsize="small")
    axes[0].set(
        xlabel="share of the machine's matrix-multiplication rate (%)",
        title="Speed, at each model's best batch size",
        xlim=(0, 100),
    )
    for what, part in scaling.groupby("what", sort=False):
        relative = part["gflop_of_gemm"] / part["gflop_of_gemm"].iloc[0]
        axes[1].loglog(
            part["size"] / part["size"].iloc[0], relative, "o-",
            label=f"{what}: exponent {part['exponent'].iloc[0]:.2f}",
        )  # fmt: skip
    axes[1].loglog([1, 8], [1, 8], "k:", label="linear")
    axes[1].set(xlabel="size, relative", ylabel="cost, relative", title="Scaling")
    for axis in (axes[1].xaxis, axes[1].yaxis):
        axis.set_major_locator(FixedLocator([1, 2, 4, 8]))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter("{x:g}")
    axes[1].legend(loc="lower right")
    figure.savefig(path, dpi=120)


def main():
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a trial of a minute")
    parser.add_argument("--threads", type=int, nargs="+", default=None)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=TABLES, choices=TABLES)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--peak", choices=PEAKS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        print(peak(args.peak))
        return
    args.threads = args.threads or sorted({1, torch.get_num_threads()})
    args.n_windows = 64
    args.training_windows = (2, 16, 78)
    if args.quick:
        args.repeats, args.n_windows, args.training_windows = 1, 8, (6,)
    wanted = args.only
    args.output.mkdir(parents=True, exist_ok=True)

    gemm = Gemm()
    gemm.rate()
    rate = statistics.median(gemm.rate() for _ in range(10)) / 1e9
    machine = (
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}, {rate:.0f} GFLOP/s in a product of 2048 x 2048 "
        "float32 matrices"
    )
    print(machine)
    (args.output / "machine.txt").write_text(machine + "\n")
    rows = []
    for name, table in (
        ("transform", transform_table),
        ("training", training_table),
        ("others", others_table),
    ):
        if name in wanted:
            print(name)
            rows += table(args, gemm)
    if rows:
        speed = pd.DataFrame(rows)
        speed.round(4).to_csv(args.output / "speed.csv", index=False)
    if "scaling" in wanted:
        print("scaling")
        scaling = scaling_table(args, gemm)
        scaling.round(4).to_csv(args.output / "scaling.csv", index=False)
    if rows and "scaling" in wanted:
        draw(speed, scaling, args.output / "speed.png")
    if "peaks" in wanted:
        print("peak memory")
        peaks = peaks_table(args)
        peaks.round(1).to_csv(args.output / "memory.csv", index=False)


if __name__ == "__main__":
    main()
