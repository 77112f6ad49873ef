"""`render`: a scene becomes a picture with its truth.

Labels come from one drawing through the centres of the pixels, each person alone: that is what says who hides whom. The
picture is the mean of several drawings through other places of the pixels, and, for motion blur, of other moments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Float32, Int

from sightline.camera import Camera
from sightline.synth.drawing import (
    Drawn,
    Rays,
    Triangles,
    cam_from_world,
    drawn_at,
    joined,
    projected,
    rays_at,
    triangles,
    warp,
)
from sightline.synth.figure import Actor, Material
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
_STEPS_PX: Final = (0.25, 1.0)
_MOST: Final = 0.95
_SPARSE: Final = 16
"""Of people in motion: this share of every 16th vertex moves less, while the shutter is open, than what calls for two
moments, or for all that a scene has."""


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
    table, ground, walls = _materials(scene)
    meshes = _meshes(scene)
    stages = [_staged(scene, meshes, moment) for moment in _moments(scene)]
    places = _PLACES[samples]
    rays = rays_at(scene.camera, places if stages[0].parts else places[:1])
    light = lighting(scene.light, stages[0].points_world, meshes.cut, meshes.faces)
    around = shaded_surroundings(scene, rays[0], table, ground, walls, light)
    shot = _Shot(scene, meshes, tuple(stages), table, light, around, rays, places)
    sight, depth, first = _sight(shot)
    picture = _picture(shot, first)
    return Rendered(
        image=developed(picture, scene.sensor, scene.seed),
        depth_m=depth,
        mask=sight.mask,
        people=truth_of(scene, sight),
        camera=scene.camera,
    )


@dataclass(frozen=True, eq=False)
class _Meshes:
    """What does not move of everything with a mesh: actors, then props. Materials are numbered as `_materials` does."""

    faces: Int[np.ndarray, "face 3"]
    cut: Float[np.ndarray, " vertex"]
    canonical: Float32[np.ndarray, "vertex 3"]
    mark: Float32[np.ndarray, " vertex"]
    material: Int[np.ndarray, " face"]
    first_rows: tuple[int, ...]
    single: tuple[tuple[Float[np.ndarray, "_"], Int[np.ndarray, "_ 3"]], ...]
    """Of each actor and prop: cut, and faces counted in its own vertices."""


@dataclass(frozen=True, eq=False)
class _Stage:
    """Where all meshes are at one moment."""

    points_world: Float[np.ndarray, "vertex 3"]
    parts: tuple[Triangles, ...]
    """Of each actor and prop, seen by the camera."""


def _meshes(scene: Scene) -> _Meshes:
    figures = [actor.figure for actor in scene.actors]
    faces = [*(figure.faces for figure in figures), *(prop.faces for prop in scene.props)]
    zeros = [np.zeros(len(prop.vertices_world), np.float32) for prop in scene.props]
    cuts = [np.asarray(cut, np.float64) for cut in (*(figure.cut for figure in figures), *zeros)]
    starts = np.cumsum([0, *(len(cut) for cut in cuts)])
    counts = np.cumsum([0, *(len(figure.materials) for figure in figures)])
    rows = [figure.material_of_face + count for figure, count in zip(figures, counts, strict=False)]
    rows += [np.full(len(prop.faces), counts[-1] + number) for number, prop in enumerate(scene.props)]
    none = np.zeros((0, 3))
    return _Meshes(
        faces=np.concatenate([none, *(f + s for f, s in zip(faces, starts, strict=False))]).astype(np.int32),
        cut=np.concatenate([none[:, 0], *cuts]),
        canonical=np.concatenate(
            [none, *(f.canonical for f in figures), *(_own_place(p.vertices_world) for p in scene.props)]
        ).astype(np.float32),
        mark=np.concatenate([none[:, 0], *(f.mark for f in figures), *zeros]).astype(np.float32),
        material=np.concatenate([none[:, 0], *rows]).astype(np.int32),
        first_rows=tuple(int(row) for row in np.cumsum([0, *(len(f) for f in faces)])[:-1]),
        single=tuple(zip(cuts, faces, strict=True)),
    )


def _moments(scene: Scene) -> tuple[int, ...]:
    """Which moments of a scene to draw: so many that, from each to the next, people move by less than a pixel or so."""
    last = max([len(actor.vertices_world) for actor in scene.actors], default=1) - 1
    far = 0.0
    for actor in scene.actors if last else ():
        before, after = (
            projected(scene.camera, _in_camera(scene.camera, _at(actor, moment)[::_SPARSE])) for moment in (0, last)
        )
        moved = np.linalg.norm(after - before, axis=-1)
        moved = moved[np.isfinite(moved)]
        far = max(far, float(np.quantile(moved, _MOST))) if len(moved) else far
    drawn = 1 + sum(far > limit for limit in _STEPS_PX)
    return (0,) if last == 0 or drawn == 1 else (0, last) if drawn == 2 else tuple(range(last + 1))


def _at(actor: Actor, moment: int) -> Float[np.ndarray, "vertex 3"]:
    return np.asarray(actor.vertices_world[min(moment, len(actor.vertices_world) - 1)], np.float64)


def _in_camera(camera: Camera, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
    assert camera.translation_m is not None
    return points @ cam_from_world(camera).T + camera.translation_m.double().numpy()


def _staged(scene: Scene, meshes: _Meshes, moment: int) -> _Stage:
    points = [_at(actor, moment) for actor in scene.actors]
    points += [np.asarray(prop.vertices_world, np.float64) for prop in scene.props]
    return _Stage(
        points_world=np.concatenate([np.zeros((0, 3)), *points]),
        parts=tuple(
            triangles(scene.camera, _in_camera(scene.camera, p), cut, faces)
            for p, (cut, faces) in zip(points, meshes.single, strict=True)
        ),
    )


def _own_place(points: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "vertex 3"]:
    """Where a thing's points lie from its lowest corner: what its texture is drawn by."""
    return points - points.min(0)


def _materials(scene: Scene) -> tuple[Float32[np.ndarray, "material 18"], int, tuple[int, ...]]:
    """The table of all materials: those of actors, props, walls and floor; with the rows of floor and walls."""
    rows: list[Material] = [m for actor in scene.actors for m in actor.figure.materials]
    rows += [prop.material for prop in scene.props]
    walls = tuple(range(len(rows), len(rows) + len(scene.walls)))
    rows += [wall.material for wall in scene.walls]
    ground = len(rows)
    rows += [scene.ground.material] if scene.ground.material else []
    return material_table(rows), ground, walls


@dataclass(frozen=True, eq=False)
class _Shot:
    """All that a picture is shaded from."""

    scene: Scene
    meshes: _Meshes
    stages: tuple[_Stage, ...]
    table: Float32[np.ndarray, "material 18"]
    light: Lighting
    around: tuple[Float32[np.ndarray, "height width 3"], Float[np.ndarray, "height width"]]
    """Light of the surroundings, and how far along each ray they lie (m)."""
    rays: Float[np.ndarray, "place height width 3"]
    places: tuple[tuple[float, float], ...]


def _sight(shot: _Shot) -> tuple[Sight, Float32[np.ndarray, "height width"], tuple[Drawn, ...]]:
    """Draw everybody alone at moment 0; say what the pixels' centres see, its depth (z, m), and what all rays meet.

    Of scenes in motion only the centres are drawn.
    """
    scene, around = shot.scene, shot.around[1]
    drawn = len(shot.places) if len(shot.stages) == 1 else 1
    singles = [drawn_at(part, shot.rays[:drawn], shot.places[:drawn]) for part in shot.stages[0].parts]
    alone = tuple(single[0] for single in singles)
    nearest, mask = around.copy(), np.zeros(around.shape, dtype=np.uint8)
    props_along = around.copy()
    for row, one in enumerate(alone):
        closer = one.along < nearest
        person = row < len(scene.actors)
        mask[closer] = row + 1 if person else PROP_MASK
        np.minimum(nearest, one.along, out=nearest)
        if not person:
            np.minimum(props_along, one.along, out=props_along)
    with np.errstate(invalid="ignore"):
        depth = np.where(np.isfinite(nearest), nearest * shot.rays[0, ..., 2], np.inf).astype(np.float32)
    people = len(scene.actors)
    sight = Sight(alone[:people], tuple(part.points_px for part in shot.stages[0].parts[:people]), props_along, mask)
    return sight, depth, tuple(_nearest(tuple(parts), shot.meshes.first_rows) for parts in zip(*singles, strict=True))


def _nearest(alone: tuple[Drawn, ...], first_rows: tuple[int, ...]) -> Drawn:
    """Put drawings of single meshes together, faces counted over all."""
    if len(alone) == 1:
        return alone[0]
    size = alone[0].face.shape
    result = Drawn(np.full(size, np.inf), np.full(size, -1, np.int32), np.zeros((*size, 3), np.float32))
    for drawn, first in zip(alone, first_rows, strict=True):
        closer = drawn.along < result.along
        result.along[closer], result.shares[closer] = drawn.along[closer], drawn.shares[closer]
        result.face[closer] = drawn.face[closer] + first
    return result


def _picture(shot: _Shot, first: tuple[Drawn, ...]) -> Float32[np.ndarray, "height width 3"]:
    """The mean light of several drawings over the surroundings; `first` are those of moment 0 (`_sight`)."""
    stages, meshes = shot.stages, shot.meshes
    total = shot.around[0].copy()
    if not stages[0].parts:
        return total
    count = max(len(shot.places), len(stages))
    row_shaded = np.full(total.shape[:2], -1, dtype=np.int32)
    shaded = np.empty_like(total)
    normals = normals_of(stages[0].points_world, meshes.faces)
    for number in range(count):
        place = number % len(shot.places)
        moment, before = (k * len(stages) // count for k in (number, number - 1))
        if number == 0 or len(stages) == 1:
            seen = first[number]
        else:
            stage = stages[moment]
            seen = drawn_at(joined(stage.parts, meshes.first_rows), shot.rays[place][None], (shot.places[place],))[0]
            if moment != before:
                normals = normals_of(stage.points_world, meshes.faces)
                row_shaded[:] = -1  # what moves is shaded anew: its texture is to blur as well
        _add_shaded(shot, normals, seen, shot.rays[place], 1.0 / count, (row_shaded, shaded, total))
    return total


def _add_shaded(
    shot: _Shot, normals: np.ndarray, seen: Drawn, rays: Rays, weight: float,
    buffers: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:  # fmt: skip
    """Shade one drawing and add it, weighted, to the last of the buffers."""
    wp = warp()
    from sightline.synth.shading_kernels import shade_surfaces

    there = seen.face >= 0
    rows, columns = (np.flatnonzero(there.any(axis)) for axis in (1, 0))
    if len(rows) == 0:
        return
    scene, meshes, light = shot.scene, shot.meshes, shot.light
    inputs = [
        rays, world_from_cam(scene), wp.vec3(*scene.camera.position_world.double().tolist()), seen.face, seen.shares,
        seen.along, *shot.around, meshes.faces, meshes.material, normals, meshes.canonical, meshes.mark, shot.table,
        light.lamp, light.lamp_map, light.zenith_map, pixel_angle(scene), weight, *buffers[:2], int(columns[0]),
        int(columns[-1]), int(rows[0]), buffers[2],
    ]  # fmt: skip
    wp.launch(shade_surfaces, dim=int(rows[-1] - rows[0]) + 1, inputs=inputs, device="cpu")
