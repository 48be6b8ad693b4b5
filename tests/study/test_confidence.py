"""Promised confidences are kept; a short version of ``benchmarks.confidence``."""

import numpy as np
import pytest

from peergrid.errors import DataError
from peergrid.study.confidence import Sample, confidence_line, enough, margins
from peergrid.study.errors import SHAPES, Shape, shaped
from tests.study.days import case


@pytest.mark.parametrize("method", ["doe-prop", "dfe-joint"])
@pytest.mark.parametrize("shape", ["gaussian", "lognormal"])
def test_sides_break_as_often_as_promised(method: str, shape: Shape) -> None:
    sample = Sample(draws=400, calibration=400, shape=shape)
    found = confidence_line(case("ieee69"), method, 0.9, "side", sample, 7)
    assert found["binding_sides"] >= 10
    assert found["side_breach_mean"] == pytest.approx(0.1, abs=0.025)
    assert found["sides_kept"]
    assert found["other_sides_worst"] <= found["side_interval"][1]


@pytest.mark.parametrize("method", ["doe-prop", "dfe-joint"])
def test_the_network_is_kept_in_every_hour(method: str) -> None:
    found = confidence_line(case("ieee69"), method, 0.9, "network", Sample(draws=200), 7)
    assert found["sides"] == 21
    assert found["side_confidence"] == pytest.approx(1.0 - 0.1 / 21.0)
    assert found["network_kept"]
    assert found["network_breach_worst_hour"] <= 0.1


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_have_mean_zero_and_variance_one(shape: Shape) -> None:
    drawn = shaped(np.random.default_rng(1).standard_normal(1_000_000), shape)
    assert drawn.mean() == pytest.approx(0.0, abs=0.01)
    assert drawn.std() == pytest.approx(1.0, rel=0.1 if shape == "t3" else 0.02)


def test_errors_hang_together_as_stated() -> None:
    errors = case("ieee69").errors
    p_kw, q_kvar = errors.draw(4000, np.random.default_rng(2))
    np.testing.assert_allclose(p_kw.std(axis=0), errors.sigma[0], rtol=0.1)
    np.testing.assert_allclose(q_kvar.std(axis=0), errors.sigma[1], rtol=0.1)
    noon = np.corrcoef(p_kw[:, 0, 12], p_kw[:, 1, 12])[0, 1]  # PV dominates both
    assert noon == pytest.approx(0.48, abs=0.08)


def test_conformal_margins_need_enough_errors() -> None:
    assert enough(1000, 0.95) == 1000
    assert enough(1000, 0.999) == 2997
    errors, rng = case("ieee69").errors, np.random.default_rng(2)
    with pytest.raises(DataError, match="at least 99"):
        margins(errors, 0.99, "t3", 50, rng)
    assert (margins(errors, 0.9, "t3", 50, rng) >= 0.0).all()
