"""The climb against functions whose maximum is known in closed form (tolerance: 1e-7, Newton's last step)."""

import numpy as np
import pytest

from headwater.numerics.maximize import Box, Evaluation, maximize, with_numeric_hessian

BOX = Box(names=("u", "w"), low=np.full(2, -10.0), high=np.full(2, 10.0))


def _rosenbrock(point):
    u, w = point
    value = -((1 - u) ** 2) - 100 * (w - u**2) ** 2
    return value, np.array([2 * (1 - u) + 400 * u * (w - u**2), -200 * (w - u**2)])


def test_rosenbrock_valley_is_climbed_to_its_known_top():
    top = maximize(with_numeric_hessian(_rosenbrock), starts=[np.array([-1.2, 1.0])], box=BOX)
    assert top.converged
    assert top.boundary == ()
    assert top.point == pytest.approx([1, 1], abs=1e-5)
    assert np.linalg.inv(top.covariance) == pytest.approx(np.array([[802, -400], [-400, 200]]), rel=1e-3)


def test_a_maximum_outside_the_box_is_named_a_boundary_and_the_rest_is_solved():
    def tilted(point):
        u, w = point
        hessian = np.diag([0.0, -2.0])
        return Evaluation(value=u - (w - 3) ** 2, gradient=np.array([1.0, -2 * (w - 3)]), hessian=hessian)

    top = maximize(tilted, starts=[np.zeros(2)], box=BOX)
    assert top.converged
    assert top.boundary == ("u",)
    assert top.point == pytest.approx([10, 3])
    assert top.covariance == pytest.approx(np.diag([0, 0.5]))


def test_a_second_start_is_tried_where_the_first_ends_at_a_boundary_and_the_higher_top_wins():
    def two_tops(point):
        u, w = point
        bump = 5 * np.exp(-((u - 4) ** 2) / 2)
        gradient = np.array([-0.01 - (u - 4) * bump, -w])
        hessian = np.diag([((u - 4) ** 2 - 1) * bump, -1.0])
        return Evaluation(value=-0.01 * u + bump - w**2 / 2, gradient=gradient, hessian=hessian)

    starts = [np.array([-9.0, 0.0]), np.array([3.5, 0.0])]
    top = maximize(two_tops, starts=starts, box=BOX)
    assert top.boundary == ()
    assert top.point == pytest.approx([4, 0], abs=1e-2)
