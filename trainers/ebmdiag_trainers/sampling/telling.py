"""Progress of a recording, for a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ebmdiag_trainers.progress import Progress
from ebmdiag_trainers.sampling.recording import Recording, Told
from ebmdiag_trainers.sampling.running import Recorded


@contextmanager
def telling(recording: Recording, *, quiet: bool, label: str = "sampling", unit: str = "step") -> Iterator[Told]:
    """Gives the function that is told of the recording's steps."""
    done, said = recording.steps_done, ""
    with Progress(recording.plan.total, done, quiet, label=label, unit=unit) as progress:

        def told(steps: int, recorded: Recorded | None) -> None:
            nonlocal done, said
            if recorded is not None:
                said = f"{recorded.phase}: mean energy {recorded.values['energy'].mean():.4g}"
            progress.advance(steps - done, lambda: said)
            done = steps

        yield told
