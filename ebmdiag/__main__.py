"""``python -m ebmdiag``."""

from ebmdiag.cli.main import run

run()
