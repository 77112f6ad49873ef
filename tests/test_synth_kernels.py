"""What the kernels are made of, against slow twins in NumPy; and the sensor's noise against what it is said to be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, stats

wp = pytest.importorskip("warp")

from sightline.synth.pattern_kernels import noise_and_slope_at, noise_at  # noqa: E402
from sightline.synth.scene import Sensor  # noqa: E402
from sightline.synth.sensor import developed  # noqa: E402


@wp.kernel(enable_backward=False)
def ask_noise(
    seed: int, points: wp.array(dtype=wp.vec3f), values: wp.array(dtype=float), slopes: wp.array(dtype=wp.vec4f)
):
    i = wp.tid()
    values[i] = noise_at(seed, points[i])
    slopes[i] = noise_and_slope_at(seed, points[i])


def noise(points: np.ndarray, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    values, slopes = np.zeros(len(points), np.float32), np.zeros((len(points), 4), np.float32)
    inputs = [seed, np.ascontiguousarray(points, np.float32), values, slopes]
    wp.launch(ask_noise, dim=len(points), inputs=inputs, device="cpu")
    return values, slopes


def test_the_slope_of_noise_is_what_its_values_say() -> None:
    points = np.random.default_rng(0).uniform(-20, 20, (3000, 3))
    values, slopes = noise(points)
    np.testing.assert_allclose(slopes[:, 0], values, atol=1e-6)
    step = 2e-3
    for axis in range(3):
        moved = np.eye(3)[axis] * step
        differences = (noise(points + moved)[0] - noise(points - moved)[0]) / (2 * step)
        np.testing.assert_allclose(slopes[:, 1 + axis], differences, atol=6e-3)
    assert np.abs(slopes[:, 1:]).max() > 1


def test_noise_is_even_on_both_sides_of_a_floor() -> None:
    """On a plane of whole z half of the lattice is left out: the value is that of points close by."""
    points = np.random.default_rng(1).uniform(-9, 9, (500, 3))
    points[:, 2] = np.round(points[:, 2])
    on_it = noise(points)[0]
    for side in (-1e-3, 1e-3):
        np.testing.assert_allclose(noise(points + [0, 0, side])[0], on_it, atol=1e-4)
    assert on_it.std() > 0.1
    assert (noise(points, seed=4)[0] != on_it).mean() > 0.99


def test_noise_of_the_sensor_is_normal_and_as_strong_as_it_says() -> None:
    size = (240, 200)
    read, shot = 0.04, 0.05
    light = np.full((*size, 3), 0.3, np.float32)
    sensor = Sensor(read_noise=read, shot_noise=shot)
    pictures = [developed(light, sensor, seed) for seed in (5, 5, 6)]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[0] != pictures[2]).mean() > 0.8
    found = linear(pictures[0])
    expected = np.sqrt(read**2 + shot**2 * 0.3)
    assert found.std() == pytest.approx(expected, rel=0.02)
    assert found.mean() == pytest.approx(0.3, abs=4 * expected / np.sqrt(found.size) + 1e-3)
    spread = (found - 0.3) / expected
    quantiles = np.array([0.01, 0.1, 0.25, 0.75, 0.9, 0.99])
    np.testing.assert_allclose(np.quantile(spread, quantiles), stats.norm.ppf(quantiles), atol=0.06)
    assert np.abs(spread).max() > 3.4
    for one, other in (
        (spread[:, 1:], spread[:, :-1]), (spread[1:], spread[:-1]), (spread[..., 0], spread[..., 1]),
        (spread, (linear(pictures[2]) - 0.3) / expected),
    ):  # fmt: skip
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.015
    even = ndimage.uniform_filter(spread[..., 0], 12)[6:-6, 6:-6]
    assert even.std() == pytest.approx(1 / 12, rel=0.25)  # no large patches


def linear(picture: np.ndarray) -> np.ndarray:
    """Linear light of dark and middle tones, which the tone curve leaves to sRGB."""
    share = picture / 255.0
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def test_without_faults_a_sensor_gives_srgb() -> None:
    light = np.linspace(0, 0.7, 64 * 64 * 3, dtype=np.float32).reshape(64, 64, 3)
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(developed(light, Sensor(), 0), 255 * expected, atol=0.8)


def test_defocus_comes_before_noise() -> None:
    light = np.full((80, 80, 3), 0.2, np.float32)
    sharp, soft = (developed(light, Sensor(read_noise=0.03, blur_px=blur), 1).astype(float) for blur in (0.0, 2.0))
    assert soft.std() == pytest.approx(sharp.std(), rel=0.02)
    edge = np.zeros((40, 40, 3), np.float32)
    edge[:, 20:] = 0.5
    shown = developed(edge, Sensor(blur_px=1.5, vignette=0.4, exposure=1.5, white_balance=(1.2, 1.0, 0.8)), 1)
    middle = shown[20].astype(int)
    assert (np.diff(middle[14:26], axis=0) >= 0).all()
    assert 0 < middle[19, 1] < middle[22, 1]
    assert shown[0, -1].astype(int).sum() < 0.9 * shown[20, 30].astype(int).sum()
