"""An analysis is light to import, and its figures use no colour that the report does not know."""

import re
import subprocess
import sys

import numpy as np
import pytest
from series import memory_trace

from ebmdiag.report import style
from ebmdiag_analyses import autocorrelation, crosscorrelation, loop_gain, summary

MODULES = (autocorrelation, crosscorrelation, loop_gain, summary)
HEAVY = ("torch", "scipy", "matplotlib", "pandas", "statsmodels", "pyarrow", "seaborn", "click")


def imported_with(statement):
    code = f"{statement}; import sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(found.stdout.split())


@pytest.mark.parametrize("module", [module.__name__ for module in MODULES])
def test_import_is_light(module):
    assert not imported_with(f"import {module}") & set(HEAVY)


def test_the_check_can_fail():
    assert imported_with("import scipy.special") & set(HEAVY)


@pytest.mark.parametrize("module", MODULES)
def test_only_sentinel_colours(module, tmp_path):
    rng = np.random.default_rng(81)
    trace = memory_trace({"d_s_t": rng.standard_normal(300), "r_t": rng.standard_normal(300)})
    for drawing in module.draw(module.analyse(trace, module.Options())):
        path = tmp_path / "inline.svg"
        drawing.figure.savefig(path, format="svg")
        used = set(re.findall(r"#[0-9a-f]{6}\b", path.read_text()))
        assert used <= {style.INK, style.GRID, style.BAND, *style.SERIES}
        assert {style.INK, style.GRID, style.SERIES[0]} <= used


def test_the_house_style_ends_with_its_block():
    import matplotlib

    before = dict(matplotlib.rcParams)
    with style.house_style():
        assert matplotlib.rcParams["text.color"] == style.INK
    assert dict(matplotlib.rcParams) == before
