"""Characters as pictures: never too wide, never misleading, never an escape sequence."""

import doctest

import numpy as np
import pytest

import ebmdiag.terminal
from ebmdiag.terminal import bar_scale, printable, signed_bar


def test_examples():
    assert doctest.testmod(ebmdiag.terminal).failed == 0


@pytest.mark.parametrize("value", [None, np.nan, -5.0, -1.0, -0.01, 0.0, 0.49, 1.0, 7.0])
@pytest.mark.parametrize("mark", [None, np.nan, 0.0, 0.3, 2.0])
def test_width_is_constant(value, mark):
    assert len(signed_bar(value, 7, mark)) == 15


def test_length_follows_value_and_scale():
    assert signed_bar(0.25, 8).count("█") == 2
    assert signed_bar(-0.25, 8, scale=0.5).count("█") == 4
    assert signed_bar(-0.25, 8).startswith(" " * 6 + "██│")


@pytest.mark.parametrize(("largest", "scale"), [(0, 1), (0.03, 0.05), (0.1, 0.1), (0.11, 0.2), (0.6, 1)])
def test_scale_is_round(largest, scale):
    assert bar_scale(np.array([largest, -largest / 2])) == pytest.approx(scale)


def test_strangers_cannot_steer_the_terminal():
    assert "\x1b" not in printable("name\x1b[31m\n", "utf-8")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", None])
def test_every_encoding_can_be_printed(encoding):
    line = printable("+0.5* ±0.1 ·│██▌ ▁▂▃█ – … τ", encoding)
    assert line.encode(encoding or "utf-8")
