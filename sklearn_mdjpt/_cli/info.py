"""``info``: what a file holds."""

import json

from .._validation import list_some
from ._recordings import is_recording, open_raw, split_roles


def run(options):
    """Print what a file holds."""
    path = options.file
    if not path.exists():
        raise FileNotFoundError(f"There is no {str(path)!r}.")
    if is_recording(path):
        about = _recording(path)
    elif path.is_dir():
        about = _windows(path)
    else:
        about = _weights(path)
    if options.json:
        print(json.dumps(about, indent=2))
        return
    width = max(map(len, about))
    for name, value in about.items():
        print(f"{name:<{width}}  {_text(value)}")


def _weights(path):
    import torch

    from ..channels._channels import CANONICAL_SFREQ
    from ..encoder._weights import read_weights
    from ..nn import HybridEncoder

    content = read_weights(path)
    metadata, config = content.metadata, content.config
    released = not metadata
    with torch.device("meta"):
        n_features = HybridEncoder(**config).n_features
    if released:
        # What a checkpoint does not say.
        config = {k: v for k, v in config.items() if k != "spatial_activation"}
    about = {
        "file": str(path),
        "holds": "released checkpoint" if released else "weights of MDJPTEncoder.save",
        "variant": config["variant"],
        "parameters": sum(value.numel() for value in content.state_dict.values()),
        "channels": config["n_chans"],
        "sfreq (Hz)": CANONICAL_SFREQ,
        "features": n_features,
    }
    about |= {"architecture": config, "trained on": content.seen.describe()}
    if released:
        return about
    history = metadata["history"]
    about |= {
        **metadata["parameters"],
        "epochs": len(history["isa"]),
    }
    if history["isa"]:
        about |= {
            f"{name} loss, first and last": [history[name][0], history[name][-1]]
            for name in ("isa", "cda")
        }
    return about | {"written by": f"sklearn_mdjpt {metadata['package_version']}"}


def _recording(path):
    import mne

    from ..channels._channels import CANONICAL_CHANNELS, known_sites

    raw = open_raw(path)
    picks = mne.pick_types(raw.info, eeg=True, exclude=())
    names = [raw.ch_names[i] for i in picks]
    other = [
        name
        for name, site in zip(names, known_sites(names), strict=True)
        if site not in CANONICAL_CHANNELS
    ]
    marks = {}
    for text, duration in zip(
        raw.annotations.description, raw.annotations.duration, strict=True
    ):
        count, seconds = marks.get(str(text), (0, 0.0))
        marks[str(text)] = count + 1, seconds + float(duration)
    files = [part.name for part in raw.filenames if part is not None]
    about = {"file": str(path), "holds": "recording"}
    if "continues" in split_roles(path):
        about["holds"] = "the rest of a split recording, whose first file has all of it"
    if len(files) > 1:
        about["split into"] = files
    return about | {
        "duration (s)": round(raw.n_times / raw.info["sfreq"], 3),
        "sfreq (Hz)": float(raw.info["sfreq"]),
        "EEG channels": names,
        "marked bad": list(raw.info["bads"]),
        f"of the {len(CANONICAL_CHANNELS)} canonical": len(names) - len(other),
        "not canonical": other,
        "annotations": {
            text: f"{count}, {seconds:g} s in all"
            for text, (count, seconds) in marks.items()
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
        return "; ".join(f"{name}: {_text(of)}" for name, of in value.items()) or "none"
    if isinstance(value, list):
        return list_some([_text(of) for of in value], 70) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "none" if value is None else str(value)
