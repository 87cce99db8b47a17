"""Log your own PyTorch loop: five lines write a trace that every ebmdiag command reads.

Run it, then:  ebmdiag acf own_loop.parquet;  ebmdiag report own_loop.parquet -o report.html
"""

import sys

import torch

from ebmdiag import TraceWriter

EPSILON, STEPS, BATCH = 0.3, 30, 64
ITERATIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 300


def main() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.SiLU(), torch.nn.Linear(32, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    with TraceWriter("own_loop.parquet", epsilon=EPSILON, force=True) as trace:  # 1: open
        for step in range(1, ITERATIONS + 1):
            data = torch.randn(BATCH, 2) + 1
            x = torch.randn(BATCH, 2)
            norms = 0.0
            for _ in range(STEPS):
                x.requires_grad_()
                (gradient,) = torch.autograd.grad(net(x).sum(), x)
                norms += gradient.norm(dim=1).mean().item() / STEPS  # 2: how hard the energy pulls
                x = x.detach() - gradient + EPSILON * torch.randn_like(x)
            energy_pos, energy_neg = net(data), net(x)
            trace.log(step, energy_pos=energy_pos, energy_neg=energy_neg, gradient_norm=norms)  # 3: log
            optimizer.zero_grad()
            (energy_pos.mean() - energy_neg.mean()).backward()
            optimizer.step()
    print(f"own_loop.parquet: {ITERATIONS} iterations")


if __name__ == "__main__":
    main()
