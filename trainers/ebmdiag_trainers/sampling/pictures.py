"""Pictures of a run: grids of images along the way and side by side at the end, or a landscape of a planar energy."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ebmdiag.chains import ChainFiles
from ebmdiag.files import replacing
from ebmdiag_trainers.pictures import PlanarDensity, image_grid, save_image_grid, save_landscape
from ebmdiag_trainers.sampling.cursor import Cursor
from ebmdiag_trainers.sampling.measures import is_picture, widening_draws
from ebmdiag_trainers.sampling.plan import Plan
from ebmdiag_trainers.sampling.reading import late_points
from ebmdiag_trainers.sampling.running import Recorded

_GRIDS = 6
_GAP = 12
_MOST = 5000  # states in a landscape


class Pictures:
    """Draws while the chains run; nothing for states that cannot be looked at."""

    def __init__(self, plan: Plan, files: ChainFiles) -> None:
        self._plan, self._files = plan, files
        draws = plan.steps // plan.thin
        self._drawn = {draw * plan.thin for draw in widening_draws(draws, _GRIDS)} if is_picture(plan.shape) else set()

    def clear(self) -> None:
        """Delete what an earlier run left."""
        side_by_side = self._files.table.with_suffix(".png")
        grids = [*self._files.pictures.glob("step_*.png"), self._files.pictures / "short.png"]
        for path in (side_by_side, *grids, *self._files.landscape.glob("step_*.npz")):
            path.unlink(missing_ok=True)

    def tell(self, recorded: Recorded) -> None:
        """Draw the chains, if it is one of the draws to be shown."""
        if not self._drawn:
            return
        if recorded.phase == "long" and recorded.draw in self._drawn:
            save_image_grid(self._files.pictures / f"step_{recorded.draw:010d}.png", recorded.states)
        short = self._plan.short
        if recorded.phase == "short" and short is not None and recorded.draw == short.steps:
            save_image_grid(self._files.pictures / "short.png", recorded.states)

    def finish(self, cursor: Cursor) -> None:
        """Draw what can only be drawn at the end; the table is there by then."""
        assert cursor.state is not None
        long = self._plan.long_sampler.visible(cursor.state).x
        if self._drawn:
            kinds = [cursor.kept.get("short"), long, cursor.kept.get("data")]
            save_side_by_side(self._files, [kind for kind in kinds if kind is not None])
            return
        density: object = self._plan.dataset
        if isinstance(density, PlanarDensity):
            self._landscape(density)

    def _landscape(self, density: PlanarDensity) -> None:
        """The chains' states from the second half of the run on, taken from the table."""
        plan = self._plan
        points = late_points(self._files.table, plan.steps, plan.thin, plan.chains, _MOST)
        net = copy.deepcopy(plan.net).float()
        path = self._files.landscape / f"step_{plan.training_step:010d}.npz"
        states = torch.as_tensor(points, dtype=torch.float32, device=plan.device)[:, :, None, None]
        save_landscape(path, net, density, states, plan.training_step, plan.epsilon)


def save_side_by_side(files: ChainFiles, kinds: list[Tensor]) -> None:
    """Grids of images beside each other, as ``NAME.png`` beside the table: short run, long run, data."""
    grids = [image_grid(kind) for kind in kinds]
    height = max(len(grid) for grid in grids)
    columns: list[NDArray[np.uint8]] = []
    for grid in grids:
        canvas = np.full((height, grid.shape[1] + (_GAP if columns else 0), 3), 255, np.uint8)
        canvas[: len(grid), -grid.shape[1] :] = grid
        columns.append(canvas)
    picture = Image.fromarray(np.concatenate(columns, axis=1))
    with replacing(files.table.with_suffix(".png")) as beside:
        picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.NEAREST).save(beside, "PNG")
