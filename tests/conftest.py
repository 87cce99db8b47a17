"""Fixtures for all tests."""

import os
import signal
from pathlib import Path

import pytest


def _data_folder() -> Path | None:
    named = os.environ.get("EBMDIAG_TEST_DATA")
    return Path(named).resolve() if named else None


def pytest_configure(config: pytest.Config) -> None:
    folder = _data_folder()
    if folder is not None and not (folder / "golden").is_dir():
        raise pytest.UsageError(f"EBMDIAG_TEST_DATA is {folder}, which has no folder 'golden'.")


def pytest_terminal_summary(terminalreporter) -> None:
    if _data_folder() is None:
        terminalreporter.write_sep("!", "EBMDIAG_TEST_DATA is unset", red=True, bold=True)
        terminalreporter.write_line(
            "The tests on real images and on the large golden numbers were SKIPPED.\n"
            "Set EBMDIAG_TEST_DATA to the folder that holds data/ and golden/ to run them."
        )


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with the real data and the large golden numbers."""
    folder = _data_folder()
    if folder is None:
        pytest.skip("EBMDIAG_TEST_DATA is unset: no real data")
    return folder


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EBMDIAG_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="session", autouse=True)
def _interrupts_are_heard():
    """A shell starts what runs in its background with Ctrl-C ignored; the tests of interrupts send it themselves."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
