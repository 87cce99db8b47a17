"""Our nets, chain and update give the numbers of the reference implementation, from the same weights and noise."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ebmdiag.errors import EbmdiagError
from ebmdiag.rows import iteration_row, temperature
from ebmdiag_trainers.engines import ENGINES
from ebmdiag_trainers.engines.gpu_selection import GPU_ENGINES
from ebmdiag_trainers.engines.perceptron import UnfitError
from ebmdiag_trainers.nets import NETS
from ebmdiag_trainers.observables import mean_gradient_norm
from ebmdiag_trainers.optimizers import build_optimizer
from ebmdiag_trainers.recipe import Optimizer
from ebmdiag_trainers.samplers import Target
from ebmdiag_trainers.samplers.langevin import langevin_log_ratio, langevin_proposal

HERE = Path(__file__).parent.parent / "golden"
CASES = {"toy": "ToyNet", "vanilla": "VanillaNet", "nonlocal": "NonlocalNet"}


@pytest.fixture(params=CASES)
def case(request):
    """A net with the golden weights, and the golden numbers."""
    folder = HERE if request.param == "toy" else request.getfixturevalue("test_data") / "golden"
    with np.load(folder / f"{request.param}.npz") as archive:
        golden = {name: torch.from_numpy(np.asarray(archive[name])) for name in archive.files}
    net = NETS[CASES[request.param]]()
    net.load_state_dict({n.removeprefix("weights/"): v for n, v in golden.items() if n.startswith("weights/")})
    return net, golden


ON_THE_CPU = [name for name in ENGINES if name not in GPU_ENGINES]


def assert_close(found, expected, tolerance=1e-4):
    """Within ``tolerance`` of the array's largest magnitude: float32 round-off over these lengths."""
    scale = expected.abs().max()
    error = (found.double() - expected.double()).abs().max() / scale
    assert error <= tolerance, f"relative error {error:.3g} > {tolerance}"


def run_golden_chain(engine, net, golden):
    if engine == "fused" and type(net).__name__ != "ToyNet":
        with pytest.raises(UnfitError):
            ENGINES[engine](net, golden["x0"], 1, float(golden["epsilon"]), torch.Generator())
        pytest.skip("the fused engine takes perceptrons only")
    return ENGINES[engine](
        net,
        golden["x0"],
        len(golden["noise"]),
        float(golden["epsilon"]),
        torch.Generator(),
        noise=golden["noise"],
    )


def test_energy_and_gradient(case):
    net, golden = case
    x = golden["x0"].clone().requires_grad_()
    energy = net(x)
    (gradient,) = torch.autograd.grad(energy.sum(), x)
    assert energy.shape == (len(x),)
    assert_close(energy.detach(), golden["energy_x0"], 1e-5)
    assert_close(gradient, golden["grad_x0"], 1e-5)
    assert_close(net(golden["x_pos"]).detach(), golden["energy_pos"], 1e-5)


@pytest.mark.parametrize("engine", ON_THE_CPU)
def test_whole_chain(case, engine):
    net, golden = case
    chain = run_golden_chain(engine, net, golden)
    assert_close(chain.end, golden["x_L"])
    assert_close(chain.sums.gradient_norm, golden["chain_grad_norm"].double().sum(0))
    assert_close(chain.sums.first_energy, golden["chain_energy"][0])
    assert mean_gradient_norm(chain.sums) == pytest.approx(float(golden["r_s_t"]), rel=1e-4)


@pytest.mark.parametrize("engine", ON_THE_CPU)
def test_row_of_the_trace(case, engine):
    net, golden = case
    chain = run_golden_chain(engine, net, golden)
    epsilon = float(golden["epsilon"])
    row = iteration_row(
        1,
        energy_pos=net(golden["x_pos"]),
        energy_neg=net(chain.end),
        gradient_norm=mean_gradient_norm(chain.sums),
        epsilon=epsilon,
    )
    spread = golden["energy_pos"].abs().max() / temperature(epsilon)
    assert abs(row["d_s_t"] - float(golden["d_s_t"])) <= 1e-4 * spread
    assert row["r_t"] == pytest.approx(float(golden["r_s_t"]), rel=1e-4)
    assert row["v_t"] * temperature(epsilon) == pytest.approx(row["r_t"], rel=1e-12)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_one_step_of_the_optimizer(case, name):
    net, golden = case
    epsilon = float(golden["epsilon"])
    rate = float(golden["sgd_lr_unscaled"] if name == "sgd" else golden["adam_lr"])
    optimizer = build_optimizer(Optimizer(name=name, learning_rate=rate), net.parameters(), epsilon)
    ((net(golden["x_pos"]).mean() - net(golden["x_L"]).mean()) / temperature(epsilon)).backward()
    optimizer.step()
    for parameter, value in net.named_parameters():
        expected = float(golden[f"after_{name}/norm/{parameter}"])
        if name == "adam" and parameter.endswith("phi.0.bias"):
            # Softmax does not see a constant added to all keys: this gradient is 0 but for round-off, whose
            # sign Adam's first step follows. Only the length of that step is determined.
            before = float(golden[f"weights/{parameter}"].norm())
            assert abs(float(value.detach().norm()) - before) <= rate * value.numel() ** 0.5
            continue
        assert float(value.detach().norm()) == pytest.approx(expected, rel=1e-4, abs=1e-7)
    assert_close(net(golden["x0"]).detach(), golden[f"after_{name}/energy_x0"])
    difference = (net(golden["x_pos"]).mean() - net(golden["x_L"]).mean()).item() / temperature(epsilon)
    spread = golden["energy_pos"].abs().max() / temperature(epsilon)
    assert abs(difference - float(golden[f"after_{name}/d_s_t"])) <= 1e-4 * spread


def test_a_planted_error_is_seen(case):
    """Negative control: a chain with 1% too little noise must not pass for the golden one."""
    net, golden = case
    with pytest.raises(AssertionError, match="relative error"):
        assert_close(
            run_golden_chain("reference", net, golden | {"epsilon": golden["epsilon"] * 0.99}).end, golden["x_L"]
        )


def test_published_weights_load(case, tmp_path):
    """A bare state dict, as the reference publishes it, loads by ``load_weights``; a wrong one is refused."""
    from ebmdiag_trainers.checkpoints import load_weights

    net, golden = case
    torch.save(net.state_dict(), tmp_path / "net.pth")
    fresh = type(net)()
    load_weights(fresh, tmp_path / "net.pth")
    assert torch.equal(fresh(golden["x0"]), net(golden["x0"]))
    other = NETS["VanillaNet" if type(net).__name__ != "VanillaNet" else "ToyNet"]()
    with pytest.raises(EbmdiagError, match="does not fit"):
        load_weights(other, tmp_path / "net.pth")


def test_mala(case):
    """One Metropolis-adjusted step from given momenta: proposal, and log of the ratio within float32's round-off of F.

    The ratio is a difference of U = F / T, so an error of one unit in the last place of F is divided by T.
    """
    net, golden = case
    epsilon = float(golden["epsilon"])
    target = Target(net, temperature(epsilon))
    before = target.point(golden["x0"])
    after = langevin_proposal(target, before, epsilon, golden["noise"][0])
    assert_close(after.x, golden["mala/proposal"], 1e-6)
    error = (langevin_log_ratio(before, after, epsilon) - golden["mala/log_accept"]).abs().max()
    last_place = float(torch.finfo(torch.float32).eps * golden["energy_x0"].abs().max()) / temperature(epsilon)
    assert error < 8 * last_place + 1e-6
    wrong = langevin_log_ratio(before, after, 1.1 * epsilon)
    assert (wrong - golden["mala/log_accept"]).abs().max() > 8 * last_place + 1e-6  # another step size is seen
