"""Put the costly statistics to a net that you trained elsewhere: is it right about the data, and do its chains mix?

Each statistic is explained by  ebmdiag statistics show NAME.  In a loop of your own, hand the same numbers to
``trace.log(step, ..., **measure(moment))``, and they become columns of your trace.
"""

import sys

import torch

from ebmdiag_trainers.probes import Moment, measure

EPSILON, STEPS = 0.3, 50
CHAINS = int(sys.argv[1]) if len(sys.argv) > 1 else 100


class Bowl(torch.nn.Module):
    """Stands for your net: U = ||x||^2 / 2, so F = (EPSILON^2 / 2) U."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """F of states (B, 2)."""
        return EPSILON**2 / 2 * x.flatten(1).square().sum(1) / 2


def main() -> None:
    torch.manual_seed(0)
    data = torch.randn(CHAINS, 2)
    moment = Moment.of(Bowl(), data, starts=torch.rand(CHAINS, 2), epsilon=EPSILON, steps=STEPS)
    for name, value in measure(moment).items():
        print(f"{name:>20}  {value:8.3f}" if value is not None else f"{name:>20}  undefined")


if __name__ == "__main__":
    main()
