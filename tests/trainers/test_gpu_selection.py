"""Which engine a run on a GPU takes."""

import sys
from itertools import pairwise

import pytest
import torch
from helpers import QuarticEnergy
from torch import nn

from ebmdiag.errors import RecipeError
from ebmdiag_trainers.engines import gpu_selection
from ebmdiag_trainers.engines.agreement import check_on_device
from ebmdiag_trainers.engines.gpu_selection import Choice, Facts, choose_gpu_engine, confirmed, gather
from ebmdiag_trainers.engines.kernel_layers import KernelLayers
from ebmdiag_trainers.engines.perceptron import UnfitError
from ebmdiag_trainers.engines.reference import run_reference
from ebmdiag_trainers.nets import ToyNet, VanillaNet

FIT = Facts("cuda")
LARGE = Facts("cuda", unfit="a layer of it has 65 features, more than 64")
NO_TRITON = Facts("cuda", triton_missing="No module named 'triton'")
BROKEN = Facts("cuda", broken="its kernel does not run on this device (RuntimeError: no)")


@pytest.mark.parametrize(
    ("asked", "facts", "engine"),
    [
        ("auto", FIT, "triton"),
        ("auto", LARGE, "graphed"),
        ("auto", Facts("cpu"), "reference"),
        ("auto", Facts("mps"), "reference"),
        ("graphed", FIT, "graphed"),
        ("graphed", NO_TRITON, "graphed"),
        ("triton", FIT, "triton"),
        ("reference", FIT, "reference"),
        ("fused", FIT, "fused"),
    ],
)
def test_the_engine_without_a_word(asked, facts, engine):
    assert choose_gpu_engine(asked, facts) == Choice(engine, None)


@pytest.mark.parametrize(
    ("facts", "words"),
    [(NO_TRITON, "No module named 'triton'; try 'pip install triton'"), (BROKEN, "RuntimeError: no")],
)
def test_a_small_perceptron_that_misses_triton_is_told(facts, words):
    choice = choose_gpu_engine("auto", facts)
    assert choice.engine == "graphed"
    assert choice.note is not None
    assert words in choice.note
    assert "\n" not in choice.note


def test_an_engine_that_computes_something_else_is_not_taken():
    def disagree():
        raise UnfitError("what it computes is not what its layers say")

    assert confirmed(Choice("graphed"), lambda: None) == Choice("graphed")
    refused = confirmed(Choice("graphed"), disagree)
    assert refused.engine == "reference"
    assert "not what its layers say; 'reference' is." in refused.note


@pytest.mark.parametrize(
    ("asked", "facts", "words"),
    [
        ("triton", LARGE, "65 features, more than 64"),
        ("triton", NO_TRITON, "cannot be imported"),
        ("triton", BROKEN, "does not run on this device"),
        ("triton", Facts("cpu"), "the run is on cpu"),
        ("graphed", Facts("cpu"), "needs a CUDA device"),
    ],
)
def test_an_engine_asked_for_by_name_runs_or_says_why_not(asked, facts, words):
    with pytest.raises(RecipeError, match=words) as caught:
        choose_gpu_engine(asked, facts)
    assert str(caught.value).endswith("Set it to 'auto' or 'reference'.")


def test_facts_of_a_run_off_cuda_need_no_look_at_the_net():
    assert gather(ToyNet(), (2, 1, 1), torch.device("cpu")) == Facts("cpu")


def test_facts_are_gathered_in_turn(monkeypatch):
    cuda = torch.device("cuda")
    found = gather(VanillaNet(), (3, 32, 32), cuda)
    assert found.unfit is not None
    assert "beyond one pixel" in found.unfit
    monkeypatch.setitem(sys.modules, "triton", None)
    found = gather(ToyNet(), (2, 1, 1), cuda)
    assert found.unfit is None
    assert "triton" in str(found.triton_missing)


@pytest.mark.parametrize("asked", ["auto", "graphed", "triton", "reference"])
def test_a_net_is_built_only_where_it_matters(asked, monkeypatch):
    """A stand-in for what needs a device: the rest is the way from a recipe to an engine."""
    built = []

    def build():
        built.append(torch.rand(()))
        return ToyNet()

    monkeypatch.setattr(ToyNet, "to", lambda net, device: net)
    monkeypatch.setattr(gpu_selection, "gather", lambda net, shape, device, precision: Facts("cuda", broken=precision))
    forked = torch.random.fork_rng
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: forked(devices=[]))
    checked = []
    monkeypatch.setattr(gpu_selection, "check_on_device", lambda engine, net, shape, device: checked.append(shape))
    state = torch.get_rng_state()
    if asked == "triton":
        with pytest.raises(RecipeError, match="tf32"):
            gpu_selection.gpu_choice(asked, build, (2, 1, 1), torch.device("cuda"), "tf32")
    else:
        choice = gpu_selection.gpu_choice(asked, build, (2, 1, 1), torch.device("cuda"), "tf32")
        assert choice.engine == ("graphed" if asked == "auto" else asked)
    assert len(checked) == (asked == "auto")  # nobody asked for the graphed engine: it has to prove itself
    assert len(built) == {"auto": 2, "triton": 1}.get(asked, 0)
    assert torch.equal(torch.get_rng_state(), state)


def mlp(*widths):
    layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.LeakyReLU(0.1))]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1), nn.Flatten(0))


def test_layers_of_the_kernel():
    layers = KernelLayers.of(mlp(3, 7, 20))
    assert (layers.hidden, layers.widths, layers.slopes) == (2, (7, 20, 7, 7), (0.1,) * 4)
    assert [tuple(tensor.shape) for tensor in layers.tensors()[:4]] == [(7, 3), (7,), (20, 7), (20,)]
    with pytest.raises(UnfitError, match="65 features, more than 64"):
        KernelLayers.of(mlp(2, 65))
    with pytest.raises(UnfitError, match="5 hidden layers, more than 4"):
        KernelLayers.of(mlp(2, 8, 8, 8, 8, 8))


def test_layers_follow_the_weights():
    net = mlp(3, 7)
    before = KernelLayers.of(net).tensors()[0].clone()
    with torch.no_grad():
        net[0].weight.mul_(2)
    assert torch.equal(KernelLayers.of(net).tensors()[0], 2 * before)
    net[1] = nn.LeakyReLU(0.2)
    assert KernelLayers.of(net).slopes == (0.2,) * 4
    net[0].register_forward_hook(lambda *arguments: None)
    with pytest.raises(UnfitError, match="has a hook"):
        KernelLayers.of(net)


def test_an_engine_is_checked_before_it_is_trusted():
    def wrong(net, start, steps, epsilon, generator, noise=None, closed=False):
        return run_reference(lambda x: 1.01 * net(x), start, steps, epsilon, generator, noise, closed)

    device = torch.device("cpu")
    check_on_device(run_reference, QuarticEnergy(0.1), (2,), device)
    with pytest.raises(UnfitError, match="not what its layers say"):
        check_on_device(wrong, QuarticEnergy(0.1), (2,), device)


def test_why_the_kernel_does_not_run(monkeypatch):
    pytest.importorskip("triton")

    def engine(name, precision="float32"):
        def run(*arguments):
            raise RuntimeError("no such device\nand more")

        return run

    monkeypatch.setattr(gpu_selection, "choose_engine", engine)
    reason = gpu_selection.why_broken(ToyNet(), (2, 1, 1), torch.device("cpu"), "float32")
    assert reason == "its kernel does not run on this device (RuntimeError: no such device)"
    monkeypatch.setattr(gpu_selection, "choose_engine", lambda name, precision="float32": run_reference)
    assert gpu_selection.why_broken(ToyNet(), (2, 1, 1), torch.device("cpu"), "float32") is None
