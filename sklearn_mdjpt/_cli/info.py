"""``info``: print what a file holds."""

import json

from .._validation import list_some
from ._recordings import is_recording, open_raw, split_roles


def run(options):
    """Print what a file holds."""
    path = options.file
    if not path.exists():
        raise FileNotFoundError(f"There is no {str(path)!r}.")
    if is_recording(path):
        content = _recording(path)
    elif path.is_dir():
        content = _windows(path)
    else:
        content = _weights(path)
    if options.json:
        print(json.dumps(content, indent=2))
        return
    width = max(map(len, content))
    for name, value in content.items():
        print(f"{name:<{width}}  {_text(value)}")


def _weights(path):
    import torch

    from ..channels._channels import CANONICAL_SFREQ
    from ..encoder._weights import read_weights
    from ..nn import HybridEncoder

    weights = read_weights(path)
    metadata, config = weights.metadata, weights.config
    released = not metadata
    with torch.device("meta"):
        n_features = HybridEncoder(**config).n_features
    if released:
        # The checkpoint does not name its activation.
        config = {k: v for k, v in config.items() if k != "spatial_activation"}
    content = {
        "file": str(path),
        "holds": "released checkpoint" if released else "weights of MDJPTEncoder.save",
        "variant": config["variant"],
        "parameters": sum(value.numel() for value in weights.state_dict.values()),
        "channels": config["n_chans"],
        "sfreq (Hz)": CANONICAL_SFREQ,
        "features": n_features,
    }
    content |= {"architecture": config, "trained on": weights.seen.describe()}
    if released:
        return content
    history = metadata["history"]
    content |= {**metadata["parameters"], "epochs": len(history["isa"])}
    if history["isa"]:
        content |= {
            f"{name} loss, first and last": [history[name][0], history[name][-1]]
            for name in ("isa", "cda")
        }
    return content | {"written by": f"sklearn_mdjpt {metadata['package_version']}"}


def _recording(path):
    import mne
    import pandas as pd

    from ..channels._channels import CANONICAL_CHANNELS, known_sites

    raw = open_raw(path)
    picks = mne.pick_types(raw.info, eeg=True, exclude=())
    names = [raw.ch_names[i] for i in picks]
    sites = dict(zip(names, known_sites(names), strict=True))
    other = [name for name in names if sites[name] not in CANONICAL_CHANNELS]
    seconds = pd.Series(raw.annotations.duration, dtype=float)
    marks = seconds.groupby(raw.annotations.description, sort=False)
    files = [part.name for part in raw.filenames if part is not None]
    content = {"file": str(path), "holds": "recording"}
    if "continues" in split_roles(path):
        content["holds"] = (
            "the rest of a split recording, whose first file has all of it"
        )
    if len(files) > 1:
        content["split into"] = files
    return content | {
        "duration (s)": round(raw.n_times / raw.info["sfreq"], 3),
        "sfreq (Hz)": float(raw.info["sfreq"]),
        "EEG channels": names,
        "marked bad": list(raw.info["bads"]),
        f"of the {len(CANONICAL_CHANNELS)} canonical": len(names) - len(other),
        "not canonical": other,
        "annotations": {
            str(text): f"{len(durations)}, {durations.sum():g} s in all"
            for text, durations in marks
        },
    }


def _windows(path):
    from ..windows._windows import EEGWindows

    X = EEGWindows.open(path)
    return {
        "file": str(path),
        "holds": "EEGWindows",
        "windows": len(X),
        "datasets": X._summary().set_index("dataset").to_dict("index"),
        "columns": list(X.metadata.columns),
    }


def _text(value):
    if isinstance(value, dict):
        return (
            "; ".join(f"{name}: {_text(part)}" for name, part in value.items())
            or "none"
        )
    if isinstance(value, list):
        return list_some([_text(part) for part in value], 70) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "none" if value is None else str(value)
