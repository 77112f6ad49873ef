"""`render`: a scene becomes a picture with its truth.

Labels come from one drawing through the centres of the pixels, each person alone: that is what says who hides whom. The
picture is the mean of several drawings through other places of the pixels, and, for motion blur, of other moments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int

from sightline.synth.drawing import Drawn, Triangles, draw, joined, shared, triangles, unit_rays, warp
from sightline.synth.figure import Material
from sightline.synth.rendered import PROP_MASK, Rendered
from sightline.synth.scene import Scene
from sightline.synth.sensor import developed
from sightline.synth.shading import Lighting, lighting, material_table, normals_of
from sightline.synth.surroundings import pixel_angle, shaded_surroundings, world_from_cam
from sightline.synth.truth import Sight, truth_of

_PLACES: Final[dict[int, tuple[tuple[float, float], ...]]] = {
    1: ((0.0, 0.0),),
    2: ((0.0, 0.0), (0.5, 0.5)),
    4: ((0.0, 0.0), (0.0, -0.4), (-0.35, 0.2), (0.35, 0.2)),
}
"""Where in a pixel its rays go through, off its centre, by how many there are; labels already ask the centre."""


def render(scene: Scene, samples: int = 4) -> Rendered:
    """Render a scene: its picture, depth, mask, and every person's truth.

    samples: rays per pixel that the picture is the mean of, 1, 2 or 4. Labels, depth and mask are those of the pixels'
    centres at moment 0, whatever it is. The same scene gives the same bytes.

    Raises:
        ValueError: for another number of samples, or a camera without its place in the world or of several pictures.
        ModuleNotFoundError: without warp.
    """
    if samples not in _PLACES:
        raise ValueError(f"samples: expected one of {sorted(_PLACES)}, got {samples}")
    if not scene.camera.has_world or scene.camera.batch_shape:
        raise ValueError("scene: expected one camera with its place in the world")
    moments = max([len(actor.vertices_world) for actor in scene.actors], default=1)
    stages = [_staged(scene, moment) for moment in range(moments)]
    rays = unit_rays(scene.camera)
    light = lighting(scene.light, stages[0].points_world, stages[0].cut, stages[0].faces)
    table, ground, walls = _materials(scene)
    around = shaded_surroundings(scene, rays, table, ground, walls, light)
    sight, centre, depth = _sight(scene, stages[0], rays, around[1])
    picture = _picture(scene, stages, table, light, around, (rays, centre), samples)
    return Rendered(
        image=developed(picture, scene.sensor, scene.seed),
        depth_m=depth,
        mask=sight.mask,
        people=truth_of(scene, sight),
        camera=scene.camera,
    )


@dataclass(frozen=True, eq=False)
class _Stage:
    """Everything with a mesh at one moment: actors, then props."""

    points_world: Float[np.ndarray, "vertex 3"]
    faces: Int[np.ndarray, "face 3"]
    cut: Float[np.ndarray, " vertex"]
    canonical: Float32[np.ndarray, "vertex 3"]
    mark: Float32[np.ndarray, " vertex"]
    material: Int[np.ndarray, " face"]
    parts: tuple[Triangles, ...]
    """Of each actor and prop, seen by the camera."""
    first_rows: tuple[int, ...]


def _staged(scene: Scene, moment: int) -> _Stage:
    """Gather the meshes. Materials are numbered as `_materials` lists them."""
    points = [actor.vertices_world[min(moment, len(actor.vertices_world) - 1)] for actor in scene.actors]
    figures = [actor.figure for actor in scene.actors]
    points = [np.asarray(p, np.float64) for p in (*points, *(prop.vertices_world for prop in scene.props))]
    faces = [*(figure.faces for figure in figures), *(prop.faces for prop in scene.props)]
    ones = [np.zeros(len(prop.vertices_world), np.float32) for prop in scene.props]
    cuts = [*(figure.cut for figure in figures), *ones]
    starts = np.cumsum([0, *(len(p) for p in points)])
    first_rows = np.cumsum([0, *(len(f) for f in faces)])
    counts = np.cumsum([0, *(len(figure.materials) for figure in figures)])
    rows = [figure.material_of_face + count for figure, count in zip(figures, counts, strict=False)]
    rows += [np.full(len(prop.faces), counts[-1] + number) for number, prop in enumerate(scene.props)]
    to_camera = scene.camera.world_to_camera
    seen = [
        triangles(scene.camera, to_camera(torch.from_numpy(p)).numpy(), np.asarray(c, np.float64), f)
        for p, c, f in zip(points, cuts, faces, strict=True)
    ]
    none = np.zeros((0, 3))
    return _Stage(
        points_world=np.concatenate([none, *points]),
        faces=np.concatenate([none, *(f + s for f, s in zip(faces, starts, strict=False))]).astype(np.int32),
        cut=np.concatenate([none[:, 0], *cuts]),
        canonical=np.concatenate(
            [none, *(f.canonical for f in figures), *(_own_place(p.vertices_world) for p in scene.props)]
        ).astype(np.float32),
        mark=np.concatenate([none[:, 0], *(f.mark for f in figures), *ones]).astype(np.float32),
        material=np.concatenate([none[:, 0], *rows]).astype(np.int32),
        parts=tuple(seen),
        first_rows=tuple(int(row) for row in first_rows[:-1]),
    )


def _own_place(points: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "vertex 3"]:
    """Where a thing's points lie from its lowest corner: what its texture is drawn by."""
    return points - points.min(0)


def _materials(scene: Scene) -> tuple[Float32[np.ndarray, "material 17"], int, tuple[int, ...]]:
    """The table of all materials: those of actors, props, walls and floor; with the rows of floor and walls."""
    rows: list[Material] = [m for actor in scene.actors for m in actor.figure.materials]
    rows += [prop.material for prop in scene.props]
    walls = tuple(range(len(rows), len(rows) + len(scene.walls)))
    rows += [wall.material for wall in scene.walls]
    ground = len(rows)
    rows += [scene.ground.material] if scene.ground.material else []
    return material_table(rows), ground, walls


def _sight(
    scene: Scene, stage: _Stage, rays: Float[np.ndarray, "height width 3"], around: Float[np.ndarray, "height width"]
) -> tuple[Sight, Drawn, Float32[np.ndarray, "height width"]]:
    """Draw everybody alone through the pixels' centres; say what is seen, by which face, and its depth (z, m)."""
    alone = tuple(draw(part, rays) for part in stage.parts)
    nearest, mask = around.copy(), np.zeros(around.shape, dtype=np.uint8)
    props_along = around.copy()
    for row, drawn in enumerate(alone):
        closer = drawn.along < nearest
        person = row < len(scene.actors)
        mask[closer] = row + 1 if person else PROP_MASK
        nearest = np.where(closer, drawn.along, nearest)
        if not person:
            props_along = np.minimum(props_along, drawn.along)
    with np.errstate(invalid="ignore"):
        depth = np.where(np.isfinite(nearest), nearest * rays[..., 2], np.inf).astype(np.float32)
    return Sight(alone[: len(scene.actors)], props_along, mask), _nearest(alone, stage.first_rows, rays.shape), depth


def _nearest(alone: tuple[Drawn, ...], first_rows: tuple[int, ...], shape: tuple[int, ...]) -> Drawn:
    """Put drawings of single meshes together, faces counted over all."""
    if len(alone) == 1:
        return alone[0]
    result = Drawn(np.full(shape[:2], np.inf), np.full(shape[:2], -1, np.int32), np.zeros(shape, np.float32))
    for drawn, first in zip(alone, first_rows, strict=True):
        closer = drawn.along < result.along
        result.along[closer], result.shares[closer] = drawn.along[closer], drawn.shares[closer]
        result.face[closer] = drawn.face[closer] + first
    return result


def _picture(
    scene: Scene,
    stages: list[_Stage],
    table: Float32[np.ndarray, "material 17"],
    light: Lighting,
    around: tuple[Float32[np.ndarray, "height width 3"], Float[np.ndarray, "height width"]],
    centre: tuple[Float[np.ndarray, "height width 3"], Drawn],
    samples: int,
) -> Float32[np.ndarray, "height width 3"]:
    """The mean light of several drawings over the surroundings, the first being that of the centres."""
    total = around[0].copy()
    if not stages[0].parts:
        return total
    places = _PLACES[samples]
    count = max(len(places), len(stages))
    normals = [normals_of(stage.points_world, stage.faces) for stage in stages]
    meshes = [joined(stage.parts, stage.first_rows) for stage in stages]
    row_shaded = np.full(total.shape[:2], -1, dtype=np.int32)
    shaded = np.zeros_like(total)
    for number in range(count):
        if len(stages) > 1:
            row_shaded[:] = -1  # what moves is shaded anew: its texture is to blur as well
        moment, place = number * len(stages) // count, places[number % len(places)]
        rays, seen = centre
        if number > 0:
            rays = unit_rays(scene.camera, place)
            seen = draw(meshes[moment], rays, place)
        _add_shaded(
            scene,
            stages[moment],
            normals[moment],
            table,
            light,
            around,
            seen,
            rays,
            1.0 / count,
            (row_shaded, shaded, total),
        )
    return total


def _add_shaded(
    scene: Scene, stage: _Stage, normals: np.ndarray, table: np.ndarray, light: Lighting,
    around: tuple[np.ndarray, np.ndarray], seen: Drawn, rays: np.ndarray, weight: float,
    buffers: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:  # fmt: skip
    """Shade one drawing and add it, weighted, to the last of the buffers."""
    wp = warp()
    from sightline.synth.shading_kernels import shade_surfaces

    rows, columns = (np.flatnonzero((seen.face >= 0).any(axis)) for axis in (1, 0))
    if len(rows) == 0:
        return
    inputs = [
        shared(rays, wp.vec3d), world_from_cam(scene), wp.vec3(*scene.camera.position_world.double().tolist()),
        shared(seen.face, wp.int32), shared(seen.shares, wp.vec3f), shared(seen.along, wp.float64),
        shared(around[0], wp.vec3f), shared(around[1], wp.float64), shared(stage.faces, wp.vec3i),
        shared(stage.material, wp.int32), shared(normals, wp.vec3f), shared(stage.canonical, wp.vec3f),
        shared(stage.mark, wp.float32), shared(table, wp.float32), light.lamp, light.lamp_map, light.zenith_map,
        pixel_angle(scene), weight, shared(buffers[0], wp.int32), shared(buffers[1], wp.vec3f), int(columns[0]),
        int(rows[0]), shared(buffers[2], wp.vec3f),
    ]  # fmt: skip
    wp.launch(
        shade_surfaces,
        dim=(int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1),
        inputs=inputs,
        device="cpu",
    )
