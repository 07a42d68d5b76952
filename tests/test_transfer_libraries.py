"""Alignment in the pipelines of pyriemann.transfer and of skada."""

import numpy as np
import pytest
import sklearn
from pyriemann.classification import MDM
from pyriemann.datasets import make_matrices
from pyriemann.estimation import Covariances
from pyriemann.tangentspace import TangentSpace
from pyriemann.transfer import (
    TLClassifier,
    TLDummy,
    TLSplitter,
    decode_domains,
    encode_domains,
)
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import CovarianceAlignment, MDJPTEncoder, WindowAlignment

N = 20  # matrices of each domain and class


@pytest.fixture(scope="module")
def data():
    """Two classes in three people, each of whom has a mixing of his own."""
    rng = np.random.default_rng(0)
    classes = make_matrices(2, 4, "spd", rs=1)
    X, y, domains = [], [], []
    for person in ("ann", "bob", "cyd"):
        mixing = rng.standard_normal((4, 4)) + 2 * np.eye(4)
        for label, centre in zip(("calm", "joy"), classes, strict=True):
            sources = rng.multivariate_normal(np.zeros(4), centre, (N, 60))
            signals = sources @ mixing.T
            X.append(np.swapaxes(signals, 1, 2) @ signals / 60)
            y += [label] * N
            domains += [person] * N
    return np.concatenate(X), np.array(y), np.array(domains)


@pytest.mark.filterwarnings("ignore:The labels in y are taken for 'domain/label'")
@pytest.mark.filterwarnings("ignore:fit was given domains, and transform is not")
def test_with_tlsplitter_and_tlclassifier(data):
    """A target of two labelled matrices: aligned, the other people help."""
    X, y_enc = encode_domains(*data)
    few = StratifiedShuffleSplit(5, train_size=2, random_state=0)
    cv = TLSplitter(target_domain="cyd", cv=few)
    classifier = TLClassifier(
        target_domain="cyd",
        estimator=MDM(),
        domain_weight={"ann": 0.5, "bob": 0.5, "cyd": 0.0},
    )
    scores = {}
    for name, step in (
        ("not aligned", TLDummy()),
        ("aligned", CovarianceAlignment(target="identity")),
    ):
        pipe = make_pipeline(step, classifier)
        # cross_val_score gives every splitter groups, which this one does not take.
        scores[name] = np.array(
            [
                clone(pipe).fit(X[train], y_enc[train]).score(X[test], y_enc[test])
                for train, test in cv.split(X, y_enc)
            ]
        )
    assert len(scores["aligned"]) == 5
    assert scores["aligned"].mean() > 0.9
    assert scores["aligned"].mean() > scores["not aligned"].mean() + 0.1


@pytest.mark.filterwarnings("ignore:The labels in y are taken for 'domain/label'")
def test_the_domains_in_y_are_those_that_are_given(data):
    X, y, domains = data
    _, y_enc = encode_domains(X, y, domains)
    np.testing.assert_array_equal(decode_domains(X, y_enc)[2], domains)
    encoded = CovarianceAlignment().fit_transform(X, y_enc)
    given = CovarianceAlignment().fit_transform(X, y, domains=domains)
    np.testing.assert_allclose(encoded, given)


@pytest.fixture
def skada():
    """Importing it turns metadata routing on for the whole process."""
    before = sklearn.get_config()
    yield pytest.importorskip("skada", reason="needs skada (the extra 'test')")
    sklearn.set_config(**before)


def test_in_a_pipeline_of_skada(data, skada):
    X, y, domains = data
    sample_domain = np.array(
        [{"ann": 1, "bob": 2, "cyd": -3}[name] for name in domains]
    )
    source = sample_domain > 0
    scores = {}
    with sklearn.config_context(enable_metadata_routing=True):
        for name, steps in (
            ("not aligned", []),
            ("aligned", [CovarianceAlignment(target="identity")]),
        ):
            head = LogisticRegression(max_iter=1000)
            pipe = skada.make_da_pipeline(*steps, TangentSpace(), head)
            hidden = np.where(source, (y == "joy").astype(int), -1)
            pipe.fit(X, hidden, sample_domain=sample_domain)
            predicted = pipe.predict(X[~source], sample_domain=sample_domain[~source])
            scores[name] = np.mean(predicted == (y[~source] == "joy"))
    assert scores["aligned"] > 0.9
    assert scores["aligned"] > scores["not aligned"] + 0.1


@pytest.fixture
def routed(skada):
    """Skada, with metadata routing on, which its import alone does only once."""
    with sklearn.config_context(enable_metadata_routing=True):
        yield skada


def shifted_signals():
    """Two classes in three source domains and one target, -4, of other mixings."""
    rng = np.random.default_rng(3)
    X, y = [], np.tile([0, 1], 40)
    domains = np.repeat([1, 2, 3, -4], 20)
    for domain in (1, 2, 3, -4):
        mixing = np.eye(4) + 0.8 * rng.standard_normal((4, 4))
        power = np.ones((20, 4))
        power[:, 0] = np.where(y[domains == domain], 3.0, 1 / 3)
        sources = np.sqrt(power)[:, :, None] * rng.standard_normal((20, 4, 200))
        X.append(mixing @ sources)
    return np.concatenate(X), y, domains


def test_signals_in_a_pipeline_of_skada(routed):
    X, y, domains = shifted_signals()
    target = domains < 0
    model = routed.make_da_pipeline(
        WindowAlignment(), Covariances("oas"), TangentSpace(), LogisticRegression()
    )
    # It masks the target's labels in the array that it is given.
    model.fit(X, y.copy(), sample_domain=domains)
    predicted = model.predict(X[target], sample_domain=domains[target])
    assert (predicted == y[target]).mean() > 0.9
    alignment = model[0].base_estimator_.alignments_[None]
    assert set(alignment.means_) == {"1", "2", "3", "-4"}


def test_domains_of_skada_in_cross_validation(routed):
    X, y, domains = shifted_signals()
    model = routed.make_da_pipeline(
        Covariances("oas"),
        CovarianceAlignment(target="identity", unseen="error"),
        TangentSpace(),
        LogisticRegression(),
    )
    cv = routed.model_selection.SourceTargetShuffleSplit(n_splits=2, random_state=0)
    scores = cross_val_score(
        model, X, y, cv=cv, params={"sample_domain": domains}, error_score="raise"
    )
    assert (scores > 0.9).all()


def test_encoder_in_a_pipeline_of_skada(routed, make_windows):
    X = make_windows(("A", "B"), n_subjects=2)
    y = np.unique(X.y, return_inverse=True)[1]
    domains = np.where(X.groups("dataset") == "A", 1, -2)
    encoder = MDJPTEncoder.small(max_epochs=1, batches_per_epoch=1, random_state=0)
    model = routed.make_da_pipeline(encoder, LogisticRegression(max_iter=1000))
    model.fit(X, y.copy(), sample_domain=domains)
    # Who saw what comes from the windows, whatever a domain is to skada.
    assert len(model[0].base_estimator_.training_subjects_) == 4
    target = domains < 0
    predicted = model.predict(X[target], sample_domain=domains[target])
    assert predicted.shape == (target.sum(),)
