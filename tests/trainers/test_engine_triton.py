"""The Triton engine: its kernel in Triton's interpreter, and compiled for devices that need not be there.

Both run in processes of their own: whether kernels are interpreted is settled when Triton is first imported.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed (Linux only)"),
]


def run(arguments, folder, **environment):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRITON_CACHE_DIR": str(folder), **environment}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, cwd=HERE.parent.parent
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


def test_the_kernel_in_tritons_interpreter(tmp_path):
    """Runs ``triton_interpreted.py``: what it checks, and what failed, is read there."""
    report = run(["-m", "pytest", "-q", str(HERE / "triton_interpreted.py")], tmp_path, TRITON_INTERPRET="1")
    assert "passed" in report
    assert "skipped" not in report


def test_the_kernel_compiles_for_cuda_devices(tmp_path):
    """For compute capabilities 7.5, 8.0 and 9.0; the shared memory must fit into what each has for one program."""
    lines = [
        line.split() for line in run([str(HERE / "triton_compiled.py")], tmp_path, TRITON_INTERPRET="0").splitlines()
    ]
    room = {"75": 64 * 1024, "80": 163 * 1024, "90": 227 * 1024}
    assert len(lines) == 4
    for capability, precision, block, shared in lines:
        assert 0 < int(shared) <= room[capability], (capability, precision, block)
