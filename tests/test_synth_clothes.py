"""Clothes leave nobody hollow: wherever one looks at a dressed figure, something is there, about where the body is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion

pytest.importorskip("anny")
pytest.importorskip("warp")

from sightline.body.anny_body import AnnyBody
from sightline.body.skinning import skinned_arrays
from sightline.camera import Camera
from sightline.synth._dress_layers import Layers
from sightline.synth._dress_rig import rig_of
from sightline.synth.drawing import Drawn, draw, triangles, unit_rays
from sightline.synth.figure import Figure
from sightline.synth.population import sample_shape
from sightline.synth.wardrobe import Clothing, dressed
from synth_scenes import camera_at

PEOPLE = (
    Clothing(),
    Clothing(loose=1.0, skirts=0.0, coats=0.0),
    Clothing(loose=0.0, skirts=0.0, coats=0.0),
    Clothing(skirts=1.0, coats=0.0),
    Clothing(coats=1.0, skirts=0.0, gloves=1.0),
    Clothing(skirts=0.0, bare_legs=1.0, short_sleeves=1.0, hats=1.0),
    Clothing(clothes=0.0),
)
DIRECTIONS = ((0.3, 0.1), (1.9, -0.4), (3.4, 0.5), (4.5, -0.1), (5.6, 0.8), (2.6, 0.3))
"""From where figures are seen: azimuth and elevation (rad)."""
ARMS = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
TRUNK = ("spine03", "spine02", "spine01", "neck", "head", "clavicle", "shoulder", *ARMS)
POSES: dict[str, dict[tuple[str, ...], tuple[str, float]]] = {
    "rest": {},
    "sitting": {("upperleg.L", "upperleg.R"): ("x", -1.45)},
    "walking": {
        ("upperleg.L", "lowerleg.L", "foot.L", "toe.L"): ("x", -0.45),
        ("upperleg.R", "lowerleg.R", "foot.R", "toe.R"): ("x", 0.4),
        tuple(f"{name}.L" for name in ARMS): ("x", 0.4),
        tuple(f"{name}.R" for name in ARMS): ("x", -0.5),
    },
    "arms raised": {
        tuple(f"{name}.L" for name in ARMS): ("z", 1.6),
        tuple(f"{name}.R" for name in ARMS): ("z", -1.6),
    },
    "wide stance": {
        ("upperleg.L", "lowerleg.L", "foot.L", "toe.L"): ("z", 0.5),
        ("upperleg.R", "lowerleg.R", "foot.R", "toe.R"): ("z", -0.5),
    },
    "bending": {TRUNK: ("x", 0.9), ("spine04",): ("x", 0.45)},
}


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    return AnnyBody.load()


def turn(axis: str, angle: float) -> np.ndarray:
    first, second = {"x": (1, 2), "z": (0, 1)}[axis]
    result = np.eye(3)
    result[first, first] = result[second, second] = np.cos(angle)
    result[second, first], result[first, second] = np.sin(angle), -np.sin(angle)
    return result


def posed(
    figure: Figure, body: AnnyBody, turns: dict[tuple[str, ...], tuple[str, float]]
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices in the world (z up) of what cloth lies on and of the figure; bones named so turned so from rest.

    Cloth lies on the naked body, smoother at the chest, whose small shapes no cloth follows.
    """
    rotations = np.repeat(np.eye(3)[None], len(body.bones), axis=0)
    for names, (axis, angle) in turns.items():
        for row, bone in enumerate(body.bones):
            for name in names:
                start, _, side = name.partition(".")
                if bone.startswith(start) and (not side or bone.endswith(f".{side}")):
                    rotations[row] = turn(axis, angle)
    count = figure.body_vertices
    base = Layers(
        rig=rig_of(body), points=figure.vertices[:count], joints=figure.joints, size=1.0, rng=np.random.default_rng(0)
    ).base
    points = skinned_arrays(
        np.concatenate([base, figure.vertices]),
        np.concatenate([figure.skin_bones[:count], figure.skin_bones]),
        np.concatenate([figure.skin_weights[:count], figure.skin_weights]),
        figure.joints, figure.parents, rotations, np.zeros(3),
    )[:, [2, 0, 1]].astype(np.float64)  # fmt: skip
    return points[:count], points[count:]


def seen(camera: Camera, points: np.ndarray, cut: np.ndarray, faces: np.ndarray) -> Drawn:
    points_cam = camera.world_to_camera(torch.from_numpy(points)).numpy()
    return draw(triangles(camera, points_cam, cut.astype(np.float64), faces), unit_rays(camera))


def looks(body: AnnyBody, knobs: Clothing, seeds: range) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """How far along each ray a naked body and the dressed one are met, of figures in all poses from two sides each."""
    rig = rig_of(body)
    naked_faces = rig.faces[rig.seen]
    for seed in seeds:
        rng = np.random.default_rng(seed)
        figure = dressed(body, sample_shape(rng), rng, knobs)
        for number, (name, turns) in enumerate(POSES.items()):
            naked, worn = posed(figure, body, turns)
            middle = (naked.min(0) + naked.max(0)) / 2
            far = 1.6 * float(np.linalg.norm(np.ptp(naked, axis=0)))
            for azimuth, elevation in DIRECTIONS[number % 3 :: 3]:
                flat = np.cos(elevation)
                away = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
                camera = camera_at(tuple(middle + far * away), tuple(middle), size=(200, 200), focal_px=300.0)
                body_seen = seen(camera, naked, np.ones(len(naked)), naked_faces)
                yield f"{seed} {name}", body_seen.along, seen(camera, worn, figure.cut, figure.faces).along


@pytest.mark.slow
@pytest.mark.parametrize("knobs", PEOPLE)
def test_nobody_is_hollow(body: AnnyBody, knobs: Clothing) -> None:
    """No ray passes through a figure; and hardly one goes on inside clothes, 5 cm past where skin would be."""
    looked = through = 0
    for name, naked, worn in looks(body, knobs, range(2)):
        inside = np.asarray(binary_erosion(np.isfinite(naked), iterations=2), dtype=bool)
        assert np.isfinite(worn[inside]).all(), name
        looked += int(inside.sum())
        through += int((worn[inside] > naked[inside] + 0.05).sum())
    assert through < 1.0e-4 * looked, through / looked
