"""The rule of imports: the core and the analyses live without torch, and starting is light."""

import subprocess
import sys
from pathlib import Path

import pytest

from ebmdiag import TraceWriter
from ebmdiag.registry import ANALYSES, load, registered

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "matplotlib", "seaborn", "pandas", "scipy", "statsmodels", "pyarrow", "jinja2")


def loaded(code, *modules):
    """Which of the modules a fresh interpreter has after running the code."""
    script = f"{code}\nimport sys\nprint([m for m in {modules!r} if m in sys.modules], file=sys.stderr)"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return answer.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], *([name, "--help"] for name in ("report", "train", "acf", "data", "import"))],
)
def test_help_is_light(arguments):
    code = f"from ebmdiag.cli.main import call\nassert call({arguments!r}) == 0"
    assert loaded(code, *HEAVY) == "[]"


def test_the_list_of_commands_does_not_even_need_numpy():
    assert loaded('from ebmdiag.cli.main import call\nassert call(["--help"]) == 0', *HEAVY, "numpy") == "[]"


def test_acf_needs_no_torch_no_pandas_and_no_plotting_library(workplace):
    with TraceWriter("a.parquet", epsilon=0.1) as trace:
        for step in range(1, 99):
            trace.append({"step": step, "d_s_t": step % 7, "r_t": step % 5})
    code = 'from ebmdiag.cli.main import call\nassert call(["acf", "a.parquet"]) == 0'
    assert loaded(code, "torch", "pandas", "matplotlib", "seaborn", "statsmodels", "scipy.stats") == "[]"


def test_import_is_light():
    assert loaded("import ebmdiag", *HEAVY, "numpy", "click") == "[]"


def test_the_probe_sees_what_is_loaded():
    """Negative control."""
    assert loaded("import ebmdiag; ebmdiag.read_trace", *HEAVY) != "[]"


def test_analyses_and_report_work_without_torch(workplace):
    """With torch made unimportable, every analysis and the report do their whole job."""
    several = {name for name in registered(ANALYSES) if load(ANALYSES, name).subject == "runs"}
    commands = [
        [name, "a.parquet", *(["b.parquet"] if name in several else []), "--json"] for name in registered(ANALYSES)
    ]
    commands += [["report", "a.parquet"], ["validate", "a.parquet"]]
    code = f"""
import sys, math, random
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("torch is not to be had in this test")
sys.meta_path.insert(0, NoTorch())
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import numpy as np
from chain_tables import settled, written
from report_files import save_landscape
from ebmdiag import TraceWriter
from ebmdiag.cli.main import call
random.seed(1)
for name in ("a", "b"):
    with TraceWriter(name + ".parquet", epsilon=0.1) as trace:
        for t in range(1, 301):
            energies = [random.random() for _ in range(5)]
            trace.log(t, energy_pos=energies[:2], energy_neg=energies[2:4], gradient_norm=energies[4])
written("a.parquet", "step_0000000300-long", settled(np.random.default_rng(0), chains=8, draws=60))
Path("a/landscape").mkdir()
save_landscape(Path("a/landscape/step_0000000300.npz"))
for command in {commands!r}:
    assert call(command) == 0, command
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_import_contracts_hold():
    """import-linter, configured in pyproject.toml: core, trainers and analyses know only what they may."""
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists():
        pytest.skip("import-linter is not installed")
    answer = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout
