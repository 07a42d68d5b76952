import os
import subprocess
import sys

import pytest
import torch

from sklearn_mdjpt.nn import HybridEncoder
from sklearn_mdjpt.nn import chunks as module_of_chunks
from sklearn_mdjpt.nn.attention import LinearAttention
from sklearn_mdjpt.nn.chunks import map_rows
from sklearn_mdjpt.nn.pretraining import DatasetPart, JointLoss, JointPretraining


@pytest.fixture(params=[1, 2])
def n_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def row_function():
    torch.manual_seed(0)
    weight = torch.randn(5, 4, dtype=float, requires_grad=True)
    calls = []

    def function(x):
        calls.append(len(x))
        return (x @ weight).tanh().unsqueeze(1)

    function.weight, function.calls = weight, calls
    return function


def rows(n=11):
    return torch.randn(
        n, 5, dtype=float, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()


def test_forward_and_gradients(row_function, n_threads):
    x, weight = rows(), row_function.weight
    y = map_rows(row_function, x, [weight], row_size=1, max_rows=3)
    assert row_function.calls == [3, 3, 3, 2]
    grads = torch.autograd.grad(y.square().sum(), [x, weight])
    assert sorted(row_function.calls) == sorted([3, 3, 3, 2] * 2)
    expected = row_function(x)
    assert torch.equal(y, expected)
    expected_grads = torch.autograd.grad(expected.square().sum(), [x, weight])
    for grad, expected in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, expected, rtol=1e-13, atol=0)


def test_only_the_input_or_only_the_parameters_need_a_gradient(row_function):
    x, weight = rows(), row_function.weight
    options = {"row_size": 1, "max_rows": 4}
    [of_x] = torch.autograd.grad(
        map_rows(row_function, x, **options).sum(), [x], retain_graph=True
    )
    y = map_rows(row_function, x.detach(), [weight], **options)
    [of_weight] = torch.autograd.grad(y.sum(), [weight])
    expected = torch.autograd.grad(row_function(x).sum(), [x, weight])
    torch.testing.assert_close((of_x, of_weight), expected)


def test_all_activations_can_be_held(row_function):
    x, weight = rows(), row_function.weight
    y = map_rows(row_function, x, [weight], row_size=1)
    assert row_function.calls == [11]
    y.sum().backward()
    assert row_function.calls == [11]


def test_chunks_fit_the_cache(row_function, monkeypatch):
    monkeypatch.setattr(module_of_chunks, "_CACHE_ACTIVATIONS", 100)
    with torch.no_grad():
        map_rows(row_function, rows(), row_size=50)
    assert row_function.calls == [2, 2, 2, 2, 2, 1]
    del row_function.calls[:]
    with torch.inference_mode():
        map_rows(row_function, rows(3), row_size=1000)
    assert row_function.calls == [1, 1, 1]


@pytest.mark.parametrize(
    ("n_rows", "sizes"),
    [(20, [20]), (21, [6, 6, 6, 3]), (60, [15] * 4), (81, [11] * 7 + [4])],
)
def test_chunks_are_equal_and_a_multiple_of_four(
    row_function, n_threads, monkeypatch, n_rows, sizes
):
    monkeypatch.setattr(module_of_chunks, "_CACHE_ACTIVATIONS", 20)
    with torch.no_grad():
        y = map_rows(row_function, rows(n_rows), row_size=1)
    assert sorted(row_function.calls, reverse=True) == sizes
    assert torch.equal(y, row_function(rows(n_rows)))


def test_gradients_do_not_depend_on_the_number_of_threads(row_function):
    x, weight = rows(200), row_function.weight
    before, found = torch.get_num_threads(), []
    for n_threads in (1, 2, 3):
        torch.set_num_threads(n_threads)
        y = map_rows(row_function, x, [weight], row_size=1, max_rows=3)
        found += torch.autograd.grad(y.sum(), [weight])
        assert torch.get_num_threads() == n_threads
    torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_an_error_in_a_chunk_is_raised_and_threads_are_restored(n_threads):
    def function(x):
        if (x == 7).any():
            raise FloatingPointError("seven")
        return x

    x = torch.arange(20.0).unsqueeze(1)
    for grad in (False, True):
        with pytest.raises(FloatingPointError, match="seven"):
            map_rows(function, x.requires_grad_(grad), row_size=2**18, max_rows=2)
        assert torch.get_num_threads() == n_threads


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_threads_survive_a_fork():
    # In a process of its own, as pytest's has more to lose.  (torch's own threads do
    # not survive a fork; operations are too small here for torch to use them.)
    script = """
import os, torch
from sklearn_mdjpt.nn.chunks import map_rows
torch.set_num_threads(2)
def run():
    with torch.no_grad():
        return map_rows(torch.sin, torch.ones(8, 3), row_size=2**18)
run()
pid = os.fork()
if pid == 0:
    run()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def training_gradients(dtype, **kwargs):
    torch.manual_seed(0)
    encoder = HybridEncoder(
        n_chans=6, hidden_dim=16, latent_dim=2, n_heads=2, **kwargs
    ).to(dtype)
    generator = torch.Generator().manual_seed(0)
    parts = []
    for n_pairs, n_times in ((4, 500), (3, 480)):
        subjects = torch.arange(2).repeat_interleave(n_pairs)
        x = torch.randn(2 * n_pairs, 6, n_times, generator=generator).to(dtype)
        parts.append(DatasetPart(x, subjects, subjects))
    loss = JointLoss(cda_weight=1.0)(JointPretraining(encoder)(parts), parts)
    loss.total.backward()
    return loss.total.detach(), {
        n: p.grad for n, p in encoder.named_parameters() if p.requires_grad
    }


@pytest.mark.parametrize("variant", ["paper", "released", "transformer"])
@pytest.mark.parametrize("subject_norm", ["subject", "train", None])
def test_training_in_chunks_has_the_gradients_of_the_whole(
    variant, subject_norm, n_threads, monkeypatch
):
    kwargs = {"variant": variant, "subject_norm": subject_norm}
    loss, whole = training_gradients(torch.float64, chunk_size=None, **kwargs)
    monkeypatch.setattr(module_of_chunks, "_CACHE_ACTIVATIONS", 2000)
    same_loss, chunked = training_gradients(torch.float64, chunk_size=1, **kwargs)
    torch.testing.assert_close(same_loss, loss, rtol=1e-12, atol=0)
    for name, grad in whole.items():
        scale = grad.abs().max().item()
        torch.testing.assert_close(chunked[name], grad, rtol=1e-9, atol=1e-10 * scale)


def test_gradient_of_linear_attention():
    torch.manual_seed(0)
    attention = LinearAttention(6, n_heads=2).double()
    x = torch.randn(3, 5, 6, dtype=float, requires_grad=True)
    assert torch.autograd.gradcheck(attention, x)
