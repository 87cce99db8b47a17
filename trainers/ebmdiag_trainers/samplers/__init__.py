"""Ways to run the chains, one contract: :class:`~ebmdiag_trainers.samplers.contract.Sampler`."""

from ebmdiag_trainers.samplers.contract import Info, Sampler, State
from ebmdiag_trainers.samplers.options import SAMPLERS, SamplerOptions, build_sampler
from ebmdiag_trainers.samplers.target import Point, Target

__all__ = ["SAMPLERS", "Info", "Point", "Sampler", "SamplerOptions", "State", "Target", "build_sampler"]
