"""Floor, walls and backdrop of a scene, as every pixel of its camera sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from sightline.synth.drawing import cam_from_world, warp
from sightline.synth.scene import Scene
from sightline.synth.shading import LINEAR_OF_SRGB, Lighting

_GROUND = ("none", "shadow", "textured")


def shaded_surroundings(
    scene: Scene,
    rays_cam: Float[np.ndarray, "height width 3"],
    materials: Float32[np.ndarray, "material 18"],
    ground_row: int,
    wall_rows: tuple[int, ...],
    light: Lighting,
) -> tuple[Float32[np.ndarray, "height width 3"], Float[np.ndarray, "height width"]]:
    """Return linear colour, and how far along its unit ray each pixel's surroundings lie (m; inf for the backdrop).

    materials: `shading.material_table`; `ground_row` and `wall_rows` say which rows are the floor's and the walls'.

    Raises:
        ValueError: for a textured floor without a material, or a backdrop whose camera has a lens with distortion.
    """
    wp = warp()
    from sightline.synth.shading_kernels import Surroundings, shade_surroundings

    if scene.ground.kind == "textured" and scene.ground.material is None:
        raise ValueError("ground: a textured floor needs a material")
    if not scene.backdrop.camera.is_pinhole:
        raise ValueError("backdrop: expected a camera without distortion")
    back = scene.backdrop.camera
    around = Surroundings()
    around.camera_position = wp.vec3(*scene.camera.position_world.double().tolist())
    around.backdrop_from_world = wp.mat33(*cam_from_world(back).ravel().tolist())
    around.backdrop_focal = wp.vec2(*back.focal_px.double().tolist())
    around.backdrop_center = wp.vec2(*back.center_px.double().tolist())
    around.ground_kind = _GROUND.index(scene.ground.kind)
    around.ground_material, around.ground_radius_m = ground_row, scene.ground.radius_m
    around.walls = len(scene.walls)
    normals = np.array([wall.normal_world for wall in scene.walls], dtype=np.float32).reshape(-1, 3)
    points = np.array([wall.point_world for wall in scene.walls], dtype=np.float32).reshape(-1, 3)
    rows = np.array(wall_rows, dtype=np.int32)
    size = rays_cam.shape[:2]
    colours, along = np.empty((*size, 3), dtype=np.float32), np.empty(size)
    inputs = [
        rays_cam, world_from_cam(scene), around, light.lamp, materials, points, normals, rows,
        scene.backdrop.picture, LINEAR_OF_SRGB, pixel_angle(scene), colours, along,
    ]  # fmt: skip
    wp.launch(shade_surroundings, dim=size[0], inputs=inputs, device="cpu")
    return colours, along


def world_from_cam(scene: Scene) -> Any:
    """Return the rotation of the scene's camera into the world, as the kernels take it."""
    return warp().mat33d(*cam_from_world(scene.camera).T.ravel().tolist())


def pixel_angle(scene: Scene) -> float:
    """Return the angle (rad) that a pixel in the middle of the scene's picture covers."""
    return 1.0 / float(scene.camera.focal_px.double().mean())
