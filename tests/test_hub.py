"""Weights on the Hub: a folder stands for it, behind the real signatures."""

import shutil
import sys
from unittest import mock

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt.datasets import make_emotion_windows

hub = pytest.importorskip("huggingface_hub", reason="needs the extra 'hub'")

NAME = "lab/mdjpt-tiny"


@pytest.fixture(scope="module")
def X():
    return make_emotion_windows(1, n_subjects=2, n_stimuli=2, random_state=0)


@pytest.fixture(scope="module")
def encoder(X):
    return MDJPTEncoder.small(
        latent_dim=1, n_filters=1, max_epochs=1, batches_per_epoch=1, random_state=0
    ).fit(X)


@pytest.fixture
def repositories(tmp_path, monkeypatch):
    """A folder of repositories in place of the Hub; calls must fit the real one."""
    root = tmp_path / "hub"
    api = mock.create_autospec(hub.HfApi, instance=True)

    def create(repo_id, private=None, exist_ok=False):
        assert exist_ok
        (root / repo_id).mkdir(parents=True, exist_ok=True)

    def upload(repo_id, folder_path, revision=None, commit_message=None):
        shutil.copytree(folder_path, root / repo_id, dirs_exist_ok=True)
        return mock.Mock(commit_url=f"hub/{repo_id}/commit/1")

    def download(repo_id, filename, revision=None, cache_dir=None):
        path = root / repo_id / filename
        if not path.exists():
            raise hub.errors.LocalEntryNotFoundError("not there")
        return str(path)

    api.create_repo.side_effect = create
    api.upload_folder.side_effect = upload
    api.hf_hub_download.side_effect = download
    make = mock.create_autospec(hub.HfApi, return_value=api)
    monkeypatch.setattr(hub, "HfApi", make)
    return root, api, make


def test_there_and_back(encoder, X, repositories):
    root, api, make = repositories
    address = encoder.push_to_hub(NAME, private=True, token="secret", revision="v2")
    assert address == f"hub/{NAME}/commit/1"
    assert make.call_args.kwargs["token"] == "secret"
    assert api.create_repo.call_args.kwargs["private"] is True
    assert api.upload_folder.call_args.kwargs["revision"] == "v2"
    again = MDJPTEncoder.from_hub(NAME, revision="v2", token="secret", batch_size=3)
    assert api.hf_hub_download.call_args.kwargs["revision"] == "v2"
    np.testing.assert_allclose(again.transform(X), encoder.transform(X), atol=1e-5)
    assert again.batch_size == 3
    weights = clone(again).fit(X).module_.state_dict()
    for name, value in encoder.module_.state_dict().items():
        np.testing.assert_array_equal(weights[name], value)
    files = sorted(path.name for path in (root / NAME).iterdir())
    assert files == ["README.md", "mdjpt.safetensors"]


def test_names_are_published_only_on_demand(encoder, repositories):
    root, _, _ = repositories
    encoder.push_to_hub(NAME)
    content = (root / NAME / "mdjpt.safetensors").read_bytes()
    card = (root / NAME / "README.md").read_text()
    assert b"SimA" not in content and "SimA" not in card
    assert "2 subjects, names left out." in card
    assert MDJPTEncoder.from_hub(NAME).training_subjects_ is None
    encoder.push_to_hub(NAME, anonymous=False)
    assert "Trained on: 2 subjects of SimA." in (root / NAME / "README.md").read_text()
    again = MDJPTEncoder.from_hub(NAME)
    assert again.training_subjects_ == encoder.training_subjects_


def test_card_says_what_the_weights_are(encoder, repositories):
    root, _, _ = repositories
    encoder.push_to_hub(NAME, license="cc-by-4.0")
    card = (root / NAME / "README.md").read_text()
    front = hub.ModelCard(card).data.to_dict()
    assert front["license"] == "cc-by-4.0"
    assert front["library_name"] == "sklearn_mdjpt"
    assert f'MDJPTEncoder.from_hub("{NAME}")' in card
    assert "| features | 4 |" in card and "| variant | paper |" in card
    assert "1 epochs; ISA loss" in card
    assert "model-index" not in front
    untrained = MDJPTEncoder(max_epochs=0, latent_dim=1, hidden_dim=8)
    untrained.fit(make_emotion_windows(1, n_subjects=2, n_stimuli=2, random_state=0))
    untrained.push_to_hub(NAME)
    assert "Trained on: nobody." in (root / NAME / "README.md").read_text()


def test_card_has_the_scores_that_are_given(encoder, repositories):
    root, _, _ = repositories
    score = hub.EvalResult(
        task_type="eeg-emotion", dataset_type="faced", dataset_name="FACED",
        metric_type="accuracy", metric_value=0.625,
    )  # fmt: skip
    encoder.push_to_hub(NAME, eval_results=[score])
    [found] = hub.ModelCard.load(root / NAME / "README.md").data.eval_results
    assert found.is_equal_except_value(score) and found.metric_value == 0.625


def test_nothing_is_made_of_an_encoder_that_cannot_be_saved(X, repositories):
    root, api, _ = repositories
    with pytest.raises(Exception, match="not fitted"):
        MDJPTEncoder().push_to_hub(NAME)
    broken = MDJPTEncoder.small(max_epochs=0).fit(X)
    broken.module_.spatial.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        broken.push_to_hub(NAME)
    assert not root.exists() and not api.create_repo.called


def test_other_repositories(repositories):
    root, _, _ = repositories
    (root / NAME).mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="has no file 'mdjpt.safetensors'"):
        MDJPTEncoder.from_hub(NAME)
    (root / NAME / "mdjpt.safetensors").write_bytes(b"anything")
    with pytest.raises(ValueError, match="mdjpt.safetensors"):
        MDJPTEncoder.from_hub(NAME)


def test_without_a_name_it_says_how_weights_are_made():
    message = "No weights are published yet.*pretrain study.toml.*push_to_hub"
    with pytest.raises(ValueError, match=message):
        MDJPTEncoder.from_hub()


def test_without_the_library(encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (
        lambda: encoder.push_to_hub(NAME),
        lambda: MDJPTEncoder.from_hub(NAME),
    ):
        with pytest.raises(ImportError, match=r"sklearn_mdjpt\[hub\]"):
            call()
