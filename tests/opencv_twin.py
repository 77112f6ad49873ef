"""OpenCV's projection, written out in NumPy from its documentation: the independent twin of every camera reader.

Points are the camera's (m); pixels count from the first one's centre, as OpenCV's do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sightline.camera import Camera

K = np.array([[1145.3, 0.0, 655.1], [0.0, 1139.9, 352.7], [0.0, 0.0, 1.0]])
SIZE = (1280, 720)
LENSES: dict[str, list[float]] = {
    "none": [0.0] * 5,
    "4": [-0.21, 0.06, 0.0011, -0.0007],
    "5": [-0.28, 0.11, 0.0011, -0.0007, -0.01],
    "8": [0.4, 0.1, 0.002, -0.001, -0.02, 0.6, 0.2, 0.01],
    "12": [0.4, 0.1, 0.002, -0.001, -0.02, 0.6, 0.2, 0.01, 0.003, -0.001, 0.002, 0.0015],
    "14": [0.4, 0.1, 0.002, -0.001, -0.02, 0.6, 0.2, 0.01, 0.003, -0.001, 0.002, 0.0015, 0.0, 0.0],
}
FISHEYE = [0.03, -0.02, 0.006, -0.0008]
ROTVEC = np.array([1.688, 1.048, -0.42])
TRANSLATION_M = np.array([0.321, 0.956, 2.891])


def points(count: int = 60) -> np.ndarray:
    """Points about 4 m before the camera, in its picture or near it."""
    rng = np.random.default_rng(3)
    return rng.normal(0, [0.9, 0.5, 0.4], (count, 3)) + [0.0, 0.0, 4.0]


def rotation_matrix(rotvec: np.ndarray) -> np.ndarray:
    """Rodrigues's formula."""
    angle = np.linalg.norm(rotvec)
    x, y, z = rotvec / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def project(points_cam: np.ndarray, k: np.ndarray, coefficients: Any) -> np.ndarray:
    """The perspective lens: k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4, as many as there are."""
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = np.concatenate([np.ravel(coefficients), np.zeros(12)])[:12]
    x, y = points_cam[:, 0] / points_cam[:, 2], points_cam[:, 1] / points_cam[:, 2]
    r2 = x**2 + y**2
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    x_bent = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2) + s1 * r2 + s2 * r2**2
    y_bent = y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y + s3 * r2 + s4 * r2**2
    return np.stack([k[0, 0] * x_bent + k[0, 2], k[1, 1] * y_bent + k[1, 2]], -1)


def project_fisheye(points_cam: np.ndarray, k: np.ndarray, coefficients: Any) -> np.ndarray:
    """The fisheye: θ (1 + k1 θ² + k2 θ⁴ + k3 θ⁶ + k4 θ⁸), as many as there are."""
    k1, k2, k3, k4 = np.concatenate([np.ravel(coefficients), np.zeros(4)])[:4]
    a, b = points_cam[:, 0] / points_cam[:, 2], points_cam[:, 1] / points_cam[:, 2]
    r = np.hypot(a, b)
    theta = np.arctan(r)
    bent = theta * (1 + k1 * theta**2 + k2 * theta**4 + k3 * theta**6 + k4 * theta**8)
    return np.stack([k[0, 0] * bent / r * a + k[0, 2], k[1, 1] * bent / r * b + k[1, 2]], -1)


def assert_projects(camera: Camera, expected_px: np.ndarray, points_cam: np.ndarray | None = None) -> None:
    """The camera shows the points where OpenCV does, half a pixel further: its origin is the corner."""
    found, valid = camera.project(torch.from_numpy(points() if points_cam is None else points_cam))
    assert valid.all()
    np.testing.assert_allclose(found.numpy(), expected_px + 0.5, atol=1e-6, rtol=0)


def assert_placed(camera: Camera, rotvec: np.ndarray = ROTVEC, translation_m: np.ndarray = TRANSLATION_M) -> None:
    """The camera stands where camera_from_world says."""
    assert camera.rotation is not None
    assert camera.translation_m is not None
    np.testing.assert_allclose(camera.rotation.numpy(), rotation_matrix(rotvec), atol=1e-9)
    np.testing.assert_allclose(camera.translation_m.numpy(), translation_m, atol=1e-12)
