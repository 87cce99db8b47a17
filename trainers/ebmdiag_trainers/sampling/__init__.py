"""Chains run on a net that is left as it is: from a plan to a table, whole states and pictures."""

from ebmdiag_trainers.sampling.plan import Plan, ShortRun
from ebmdiag_trainers.sampling.recording import Recording, record
from ebmdiag_trainers.sampling.running import Recorded, run

__all__ = ["Plan", "Recorded", "Recording", "ShortRun", "record", "run"]
