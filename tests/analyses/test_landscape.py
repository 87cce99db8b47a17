"""The analysis ``landscape`` on runs whose landscapes are planted: exact, shifted, short of a mode, rising."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from planar_truth import NAMES, draw_gaussians, log_gaussians, write_landscape

from ebmdiag.errors import DataError, NothingToAnalyse, UsageError
from ebmdiag.report import style
from ebmdiag.runfolder import RunFolder
from ebmdiag_analyses.landscape import ANALYSIS, Options, analyse, draw, judge, text

FIRST_GONE = (0.001, *(0.999 / 7,) * 7)


def short_of_a_mode(points):
    return log_gaussians(points, FIRST_GONE)


def shifted(points):
    return log_gaussians(points, shift=(0.1, 0.0))


def assert_divergence(result, log_model):
    """Against the mean of log q / p over exact samples, in its standard errors."""
    samples = draw_gaussians(100_000, seed=77)
    ratios = log_gaussians(samples) - log_model(samples)
    error = ratios.std() / np.sqrt(len(ratios))
    assert abs(result.estimates["kl_learned"].value - ratios.mean()) < 4 * error
    assert error < 0.01


def result_of(run):
    return analyse(run, Options())


def codes(result, severity="warning"):
    return {finding.code for finding in judge(result) if finding.severity == severity}


def statement(result, code):
    (finding,) = [finding for finding in judge(result) if finding.code == code]
    return finding.statement


def values(result, *names):
    return [result.estimates[name].value for name in names]


@pytest.fixture
def exact(workplace):
    return result_of(write_landscape("a", 100))


def test_an_exact_run_is_at_the_floor_and_nothing_is_flagged(exact):
    learned, short, floor, spread = values(exact, "kl_learned", "kl_short", "kl_floor", "kl_floor_spread")
    assert learned == pytest.approx(0, abs=1e-12)
    assert abs(short - floor) < 4 * spread
    assert floor > 5 * spread
    assert codes(exact) == set()
    assert "no more than exact samples score" in statement(exact, "landscape-distance")


def test_weights_of_an_exact_run(exact):
    assert values(exact, *(f"true:{name}" for name in NAMES)) == pytest.approx([1 / 8] * 8, abs=5e-4)
    assert values(exact, *(f"learned:{name}" for name in NAMES)) == pytest.approx([1 / 8] * 8, abs=5e-4)
    shares = [exact.estimates[f"short:{name}"] for name in NAMES]
    assert sum(one.value for one in shares) == pytest.approx(1)
    assert all(abs(one.value - 1 / 8) < 4 * np.sqrt(7 / 64 / 2000) for one in shares)
    assert all(one.low < one.value < one.high for one in shares)
    assert exact.tables["modes"].columns["short_error"] == pytest.approx(np.sqrt(7 / 64 / 2000), rel=0.1)


def test_a_learned_density_short_of_a_mode_is_flagged(workplace):
    result = result_of(write_landscape("a", 1, short_of_a_mode))
    assert codes(result) == {"landscape-missing-learned", "landscape-distance"}
    assert "exp(-U) lacks a mode: mode 0 (" in statement(result, "landscape-missing-learned")
    assert_divergence(result, short_of_a_mode)
    assert result.estimates["mode_error_learned"].value == pytest.approx(1 / 8, abs=5e-3)


def test_a_shifted_density_is_flagged_as_further_than_its_short_runs(workplace):
    result = result_of(write_landscape("a", 1, shifted))
    assert codes(result) == {"landscape-distance"}
    assert_divergence(result, shifted)
    assert "further from the truth than its own short runs" in statement(result, "landscape-distance")


def test_short_runs_short_of_a_mode_are_flagged(workplace):
    samples = draw_gaussians(2000, modes=(0, 1, 2, 4, 5, 6, 7))
    result = result_of(write_landscape("a", 1, samples=samples))
    assert codes(result) == {"landscape-missing-short"}
    assert "the short runs lack a mode: mode 3 (" in statement(result, "landscape-missing-short")
    assert "nearer even where the floor is taken off" in statement(result, "landscape-distance")
    assert result.estimates["short:mode 3"].high < 0.02


def test_a_mode_that_few_samples_miss_by_chance_is_not_flagged(workplace):
    samples = draw_gaussians(14, modes=(0, 1, 2, 4, 5, 6, 7))
    result = result_of(write_landscape("a", 1, samples=samples))
    assert result.estimates["short:mode 3"].value == 0
    assert codes(result) == set()


def gap(size):
    """A model that is shifted by so much."""
    return lambda points: log_gaussians(points, shift=(size, 0.0))


def test_a_divergence_that_rises_again_is_told_with_its_best_step(workplace):
    for step, size in enumerate((0.2, 0.1, 0.02, 0.1, 0.2), 1):
        run = write_landscape("a", 10 * step, gap(size))
    result = result_of(run)
    assert "landscape-rising-learned" in codes(result)
    assert "landscape-rising-short" not in codes(result)
    assert "lowest around step 30 (" in statement(result, "landscape-rising-learned")
    assert result.tables["distances"].columns["step"].tolist() == [10, 20, 30, 40, 50]


def test_one_landscape_that_stands_out_is_no_rise(workplace):
    for step in range(1, 13):
        run = write_landscape("a", step, gap(0.2 if step == 12 else 0.02))
    assert "landscape-rising-learned" not in codes(result_of(run))


def test_samples_that_left_the_square_are_told(workplace):
    samples = draw_gaussians(500)
    samples[:20] = 5.0
    result = result_of(write_landscape("a", 1, samples=samples))
    assert result.estimates["outside"].value == 0.04
    assert "4% of the short-run samples lie outside" in statement(result, "landscape-outside")


def test_a_density_that_the_grid_does_not_resolve_is_doubted(workplace):
    def spiked(points):
        found = log_gaussians(points)
        found[30, 30] = found.max() + 20
        return found

    result = result_of(write_landscape("a", 1, spiked))
    assert not result.estimates["kl_learned"].reliable
    assert not result.estimates["learned:mode 1"].reliable
    assert "doubtful: the grid does not resolve" in statement(result, "landscape-distance")
    assert any("?" in line.split()[1] for line in text(result) if line.split()[:1] == ["1"])


def test_files_of_before_modes_were_kept(workplace):
    run = write_landscape("a", 1, modes=None, sample_modes=None, mode_names=None)
    result = result_of(run)
    assert result.estimates["mode_error_learned"].value is None
    assert "before modes were kept" in result.estimates["mode_error_short"].reason
    assert list(result.tables) == ["distances"]
    assert len(draw(result)) == 1
    assert codes(result) == set()
    assert any("before modes were kept" in line for line in text(result))


@pytest.mark.parametrize("samples", [np.zeros((0, 2)), np.ones((5, 2)), np.full((9, 2), 99.0)])
def test_samples_without_a_kernel_density(workplace, samples):
    result = result_of(write_landscape("a", 1, samples=samples))
    assert values(result, "kl_short", "kl_floor") == [None, None]
    assert result.estimates["kl_learned"].value == pytest.approx(0, abs=1e-12)
    assert "no kernel density" in statement(result, "landscape-distance")
    assert len(draw(result)) == 2
    assert text(result)


def test_a_run_without_landscapes_has_nothing_to_analyse(workplace):
    with pytest.raises(NothingToAnalyse, match=r"a/landscape holds no landscapes .* train the recipe rings or gmm"):
        result_of(RunFolder.of("a.parquet"))


def test_a_broken_file_is_a_note_and_only_broken_ones_a_fault(workplace):
    run = write_landscape("a", 1)
    Path("a/landscape/step_0000000002.npz").write_bytes(b"PK nonsense")
    result = result_of(run)
    assert result.rows == 1
    assert "step_0000000002.npz cannot be read" in result.notes[0]
    Path("a/landscape/step_0000000001.npz").unlink()
    with pytest.raises(DataError, match="none of the landscapes"):
        result_of(run)


def test_first_and_last_are_among_the_chosen(workplace):
    for step in range(1, 8):
        run = write_landscape("a", step)
    found = analyse(run, Options(most=3))
    assert found.tables["distances"].columns["step"].tolist() == [1, 4, 7]
    assert "3 of 7 landscapes, steps 1 to 7" in text(found)[0]
    with pytest.raises(UsageError, match="most must be at least 1"):
        Options(most=0)


def test_a_landscape_takes_less_than_a_third_of_a_second(workplace):
    for step in range(1, 6):
        run = write_landscape("a", step)
    began = time.process_time()
    result_of(run)
    assert (time.process_time() - began) / 5 < 0.3


def test_the_result_is_json_and_the_same_each_time(workplace):
    run = write_landscape("a", 1)
    first, second = (json.dumps(result_of(run).to_json(), allow_nan=False) for _ in range(2))
    assert first == second


def test_figures_are_in_the_colours_of_the_house_and_told_in_words(workplace):
    write_landscape("a", 1, gap(0.3))
    result = result_of(write_landscape("a", 2))
    drawings = {drawing.name: drawing for drawing in draw(result)}
    assert set(drawings) == set(result.tables) == {"distances", "modes"}
    for drawing in drawings.values():
        drawing.figure.savefig("inline.svg", format="svg")
        used = set(re.findall(r"#[0-9a-f]{6}\b", Path("inline.svg").read_text()))
        assert {style.INK, *style.SERIES[:2]} <= used <= {style.INK, style.GRID, style.BAND, *style.SERIES}
    assert drawings["distances"].figure.axes[0].get_yscale() == "log"
    assert "KL of the learned density goes from" in drawings["distances"].alt
    assert drawings["modes"].alt.count("mode ") == 8


def test_import_is_light():
    code = "import ebmdiag_analyses.landscape, sys; print(*{name.split('.')[0] for name in sys.modules})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "scipy", "matplotlib", "pandas", "statsmodels", "pyarrow", "seaborn", "click"}
    assert not set(found.stdout.split()) & heavy
    assert (ANALYSIS.name, ANALYSIS.subject) == ("landscape", "run")
