"""
Pre-training on several processes or GPUs
=========================================

A script for ``accelerate launch``: every process reads the same memory-mapped store,
trains on its share of each batch, and the weights are those of a single process up to
rounding.  Start it on two GPUs with

.. code-block:: bash

    pip install "sklearn_mdjpt[distributed]"
    accelerate launch --multi_gpu --num_processes 2 pretrain_on_many_processes.py

On CPUs it is the same command, told not to look for GPUs:

.. code-block:: bash

    export ACCELERATE_USE_CPU=true
    accelerate launch --multi_gpu --num_processes 2 pretrain_on_many_processes.py

After a kill the same command goes on from the last checkpoint.
"""

import argparse
from pathlib import Path

from accelerate import Accelerator

from sklearn_mdjpt import EEGWindows, MDJPTEncoder
from sklearn_mdjpt.datasets import make_emotion_windows

# %%
# What to train on, how long, and where results go.

parser = argparse.ArgumentParser()
parser.add_argument("--store", type=Path, default=Path("windows"))
parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
parser.add_argument("--weights", type=Path, default=Path("encoder.safetensors"))
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--batches", type=int, default=25, help="per epoch")
parser.add_argument("--mixed-precision", choices=("no", "fp16", "bf16"), default="no")
arguments = parser.parse_args()

# %%
# The data: your own windows, saved once with ``X.save(folder)``.  Here the first
# process simulates some, and the others wait.

accelerator = Accelerator(mixed_precision=arguments.mixed_precision)
with accelerator.main_process_first():
    if not arguments.store.exists():
        simulated = make_emotion_windows(n_datasets=2, n_subjects=4, random_state=0)
        simulated.save(arguments.store)
X = EEGWindows.open(arguments.store)

# %%
# The training.  ``accelerate=True`` takes the settings of ``accelerate launch``; a dict
# sets some of them here.

encoder = MDJPTEncoder.small(
    max_epochs=arguments.epochs,
    batches_per_epoch=arguments.batches,
    checkpoint_dir=arguments.checkpoints,
    accelerate={"mixed_precision": arguments.mixed_precision},
    random_state=0,
    verbose=1,
)
encoder.fit(X)

# %%
# All processes hold the same encoder; one writes it.

if accelerator.is_main_process:
    encoder.save(arguments.weights)
    print(encoder.history_.to_string())

# %%
# The processes take leave of each other; one that is gone while others still listen can
# bring them down.

accelerator.wait_for_everyone()
accelerator.end_training()
