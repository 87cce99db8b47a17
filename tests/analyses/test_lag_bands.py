"""The option ``bands`` of acf and ccf: today's default unchanged, the others with their own coverage."""

import numpy as np
import pytest
from series import autoregression, memory_trace

from ebmdiag.errors import UsageError
from ebmdiag.numerics.bands import bartlett_errors, quantile
from ebmdiag.numerics.correlation import autocorrelation
from ebmdiag_analyses import autocorrelation as acf
from ebmdiag_analyses import crosscorrelation as ccf
from ebmdiag_analyses.lag_bands import BANDS


def pair(rows=600, seed=1):
    return autoregression(np.random.default_rng(seed), 0.6, (2, rows))


def acf_half(x, **options):
    result = acf.analyse(memory_trace({"d_s_t": x}), acf.Options(columns=("d_s_t",), max_lag=8, **options))
    return result.tables["d_s_t"].columns["band_high"]


def ccf_result(x, y, **options):
    return ccf.analyse(memory_trace({"d_s_t": x, "r_t": y}), ccf.Options(**options))


def test_default_is_bartlett():
    x, _ = pair()
    assert acf_half(x)[1:] == pytest.approx(1.959964 * bartlett_errors(autocorrelation(x, 8), 600)[1:], rel=1e-6)
    assert (acf_half(x)[1:] == acf_half(x, bands="bartlett")[1:]).all()


def test_white():
    x, y = pair()
    assert acf_half(x, bands="white")[1:] == pytest.approx(np.full(8, quantile(0.95) / np.sqrt(600)))
    assert np.isnan(acf_half(x, bands="white")[0])
    result = ccf_result(x, y, bands="white")
    assert result.estimates["band"].value == pytest.approx(quantile(0.95) / np.sqrt(600))
    assert result.estimates["band"].value < ccf_result(x, y).estimates["band"].value


def test_bootstrap_of_independent_series_is_near_bartletts():
    x, y = pair(20_000)
    drawn = ccf_result(x, y, bands="bootstrap").tables["ccf"].columns["band_high"]
    formula = ccf_result(x, y).estimates["band"].value
    assert np.mean(drawn) == pytest.approx(formula, rel=0.12)


def test_bootstrap_scales_with_the_convention():
    x, y = pair()
    shifted = x + 2
    standard, nijkamp = (
        ccf_result(shifted, y, bands="bootstrap", convention=name).tables["ccf"].columns["band_high"][15]
        for name in ("standard", "nijkamp")
    )
    assert nijkamp / standard == pytest.approx(x.std() / np.sqrt((shifted**2).mean()), rel=0.25)


@pytest.mark.parametrize("bands", BANDS)
def test_words_and_pictures(bands):
    x, y = pair()
    for module, result in (
        (acf, acf.analyse(memory_trace({"d_s_t": x}), acf.Options(columns=("d_s_t",), bands=bands))),
        (ccf, ccf_result(x, y, bands=bands)),
    ):
        said = {"bartlett": "memory" if module is ccf else "Bartlett", "white": "white", "bootstrap": "bootstrap"}[
            bands
        ]
        assert any(said in line for line in module.text(result))
        assert said in module.draw(result)[0].caption
        assert result.settings["bands"] == bands
        module.judge(result)


@pytest.mark.parametrize("bands", BANDS)
def test_short_constant_and_beyond(bands):
    for x in (np.ones(100), np.arange(3.0), np.random.default_rng(2).standard_normal(30)):
        acf.judge(acf.analyse(memory_trace({"d_s_t": x}), acf.Options(columns=("d_s_t",), max_lag=40, bands=bands)))
        ccf.judge(ccf_result(x, x[::-1], bands=bands))


def test_unknown_bands():
    with pytest.raises(UsageError, match="did you mean 'bootstrap'"):
        acf.Options(bands="bootsrap")
