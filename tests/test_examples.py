"""Every example runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from ebmdiag import read_trace
from ebmdiag.cli.main import call

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, workplace):
    subprocess.run([sys.executable, path, "20"], check=True, capture_output=True)


def test_own_loop_writes_a_valid_trace(workplace):
    subprocess.run([sys.executable, EXAMPLES[0].with_name("own_loop.py"), "60"], check=True, capture_output=True)
    assert len(read_trace("own_loop.parquet")) == 60
    for command in ("validate", "acf", "ccf", "report"):
        assert call([command, "own_loop.parquet"]) == 0
