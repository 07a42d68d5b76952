"""Weights on the Hugging Face Hub, with a card that says what they are."""

import tempfile
from pathlib import Path

from .. import __version__

_WEIGHTS = "mdjpt.safetensors"
_TEXT = """---
{front}
---

# {name}

An encoder of emotional EEG, pre-trained with mdJPT (multi-dataset joint pre-training, \
[arXiv:2510.22197](https://arxiv.org/abs/2510.22197)) by sklearn_mdjpt {version}.

```python
from sklearn_mdjpt import MDJPTEncoder

encoder = MDJPTEncoder.from_hub("{name}")
features = encoder.transform(X)  # EEGWindows, Epochs or an array
```

| | |
|---|---|
{facts}

## Training

{training}

Scores on people who are among the training subjects say nothing about new people.
"""


def push(
    encoder,
    seen,
    repo_id,
    *,
    private,
    revision,
    token,
    license,
    message,
    anonymous,
    eval_results,
):
    """Upload a fitted encoder and its card as one commit; return the commit's address.

    `MDJPTEncoder.push_to_hub` describes the parameters; ``seen`` is a `Seen`.
    """
    hub = _import_hub()
    api = _connect(hub, token)
    with tempfile.TemporaryDirectory() as folder:
        # If the encoder cannot be saved, the error comes before the repository.
        encoder.save(Path(folder) / _WEIGHTS, anonymous=anonymous)
        data = hub.ModelCardData(
            library_name="sklearn_mdjpt",
            tags=["eeg", "emotion", "mdjpt"],
            license=license,
            model_name=repo_id,
            eval_results=eval_results,
        )
        text = _TEXT.format(
            front=data.to_yaml(),
            name=repo_id,
            version=__version__,
            facts="\n".join(f"| {k} | {v} |" for k, v in _facts(encoder).items()),
            training=_training(seen, encoder.history_),
        )
        hub.ModelCard(text).save(Path(folder) / "README.md")
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            revision=revision,
            commit_message=message,
        )
    return commit.commit_url


def download(repo_id, *, revision, token, cache_dir):
    """Return the path of the weights of a repository, in the Hub's cache.

    `MDJPTEncoder.from_hub` describes the parameters.
    """
    hub = _import_hub()
    try:
        return _connect(hub, token).hf_hub_download(
            repo_id, _WEIGHTS, revision=revision, cache_dir=cache_dir
        )
    except hub.errors.EntryNotFoundError as error:
        raise FileNotFoundError(
            f"{repo_id!r} on the Hub has no file {_WEIGHTS!r}, which "
            f"MDJPTEncoder.push_to_hub writes: {error}"
        ) from error


def _facts(encoder):
    module = encoder.module_
    n_values = sum(parameter.numel() for parameter in module.parameters())
    return {
        "variant": module.variant,
        "parameters": f"{n_values:,}",
        "features": encoder.n_features_out_,
        "input": f"{module.n_chans} canonical channels at 125 Hz; other caps and "
        "rates are mapped onto them",
        **{name: module.config[name] for name in ("hidden_dim", "latent_dim", "depth")},
        **encoder._fitted_parameters,
    }


def _training(seen, history):
    text = f"Trained on: {seen.describe()}."
    if len(history):
        first, last = history.iloc[0], history.iloc[-1]
        text += (
            f"\n{len(history)} epochs; ISA loss {first['isa']:.3g} in the first and "
            f"{last['isa']:.3g} in the last, CDA loss {first['cda']:.3g} and "
            f"{last['cda']:.3g}."
        )
    return text


def _connect(hub, token):
    return hub.HfApi(
        token=token, library_name="sklearn_mdjpt", library_version=__version__
    )


def _import_hub():
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            "Sharing weights needs huggingface_hub: pip install 'sklearn_mdjpt[hub]'."
        ) from error
    return huggingface_hub
