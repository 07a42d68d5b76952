"""Weights on the Hugging Face Hub, with a card that says what they are."""

import tempfile
from pathlib import Path

from .. import __version__
from .._io._files import write_file

WEIGHTS = "mdjpt.safetensors"
"""Name of the file in each repository."""

_TEXT = """---
{front}
---

# {title}

An encoder of emotional EEG, pre-trained with mdJPT (multi-dataset joint pre-training, \
[arXiv:2510.22197](https://arxiv.org/abs/2510.22197)) by sklearn_mdjpt {version}.

```python
from sklearn_mdjpt import MDJPTEncoder

encoder = {load}
features = encoder.transform(X)  # EEGWindows, Epochs or an array
```

| | |
|---|---|
{facts}

## Training

{training}

{further}{warning}
"""


_WARNING = (
    "Scores on people who are among the training subjects say nothing about new people."
)


def push(
    encoder,
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

    `MDJPTEncoder.push_to_hub` describes the parameters.
    """
    hub = _import_hub()
    api = _connect(hub, token)
    with tempfile.TemporaryDirectory() as folder:
        # If the encoder cannot be saved, the error comes before the repository.
        write_folder(
            encoder,
            folder,
            repo_id=repo_id,
            license=license,
            anonymous=anonymous,
            eval_results=eval_results,
        )
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            revision=revision,
            commit_message=message,
        )
    return commit.commit_url


def write_folder(
    encoder,
    folder,
    *,
    repo_id=None,
    title=None,
    license=None,
    anonymous=True,
    eval_results=None,
    further="",
):
    """Write weights and card to a folder: all that a repository of the Hub holds.

    Parameters
    ----------
    encoder : MDJPTEncoder
        Fitted.
    folder : path-like
        An existing folder.
    repo_id : str, default=None
        Name of the repository; without it the card says how the file is loaded.
    title : str, default=None
        Title of the card; None is ``repo_id``.
    license, anonymous, eval_results
        As for `MDJPTEncoder.push_to_hub`.
    further : str, default=""
        Further sections of the card, in Markdown.
    """
    hub = _import_hub()
    encoder.save(Path(folder) / WEIGHTS, anonymous=anonymous)
    title = title or repo_id or "An encoder of emotional EEG"
    data = hub.ModelCardData(
        library_name="sklearn_mdjpt",
        tags=["eeg", "emotion", "mdjpt"],
        license=license,
        model_name=repo_id or title,
        eval_results=eval_results,
    )
    load = f'from_hub("{repo_id}")' if repo_id else f'load("{WEIGHTS}")'
    text = _TEXT.format(
        front=data.to_yaml(),
        title=title,
        load=f"MDJPTEncoder.{load}",
        version=__version__,
        facts="\n".join(f"| {k} | {v} |" for k, v in _facts(encoder).items()),
        training=_training(encoder._seen(anonymous), encoder.history_),
        further=f"{further}\n\n" if further else "",
        warning=_WARNING,
    )
    card = hub.ModelCard(text)
    write_file(Path(folder) / "README.md", str(card).encode())


def download(repo_id, *, revision, token, cache_dir):
    """Return the path of the weights of a repository, in the Hub's cache.

    `MDJPTEncoder.from_hub` describes the parameters.
    """
    if repo_id is None:
        raise ValueError(
            "No weights are published yet: from_hub needs the name of a repository, "
            "such as 'lab/mdjpt'. To make weights, train on openly licensed data with "
            "'python -m sklearn_mdjpt pretrain study.toml', whose folder 'hub' is what "
            "a repository holds, or publish an encoder of yours with push_to_hub."
        )
    hub = _import_hub()
    try:
        return _connect(hub, token).hf_hub_download(
            repo_id, WEIGHTS, revision=revision, cache_dir=cache_dir
        )
    except hub.errors.EntryNotFoundError as error:
        raise FileNotFoundError(
            f"{repo_id!r} on the Hub has no file {WEIGHTS!r}, which "
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
