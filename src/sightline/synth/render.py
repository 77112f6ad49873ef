"""`render`: a scene becomes a picture with its truth.

Labels come from one drawing through the centres of the pixels, each person alone: that is what says who hides whom. The
picture is the mean of several drawings through other places of the pixels, and, for motion blur, of other moments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Float, Float32, Int

from sightline.camera import Camera
from sightline.synth.drawing import (
    Drawn,
    PixelRays,
    Pixels,
    Rays,
    Triangles,
    cam_from_world,
    draw,
    joined,
    left_by_cut,
    projected,
    triangles,
    warp,
)
from sightline.synth.figure import Actor, Figure, Material
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
_FEW: Final = 2
"""Up to so many moments, people keep the light of the first, and only their edges are asked again."""
_BEYOND: Final = -2
"""What `_edges` takes the world beyond the border to be: nothing else has this key, and −1 is where nobody is seen."""


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
    pixels = PixelRays(scene.camera)
    rays = pixels.at((0.0, 0.0))
    light = lighting(scene.light, stages[0].points_world, meshes.cut, meshes.faces)
    around = shaded_surroundings(scene, rays, table, ground, walls, light)
    shot = _Shot(scene, meshes, tuple(stages), table, light, around, pixels)
    sight, depth, centres = _sight(shot, rays)
    picture = _picture(shot, rays, centres, _PLACES[samples])
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
    key: Int[np.ndarray, " face"]
    """The same for all faces of one material on one part of one body: between keys there are edges."""
    first_rows: tuple[int, ...]
    single: tuple[tuple[Float[np.ndarray, "_"], Int[np.ndarray, "_ 3"], Int[np.ndarray, "_"]], ...]
    """Of each actor and prop: cut, the faces that it leaves, counted in its own vertices, and their rows."""


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
    counts[-1] += len(scene.props)
    parts = [*(figure.part_of_face for figure in figures), *(np.zeros(len(prop.faces), int) for prop in scene.props)]
    none = np.zeros((0, 3))
    return _Meshes(
        faces=np.concatenate([none, *(f + s for f, s in zip(faces, starts, strict=False))]).astype(np.int32),
        cut=np.concatenate([none[:, 0], *cuts]),
        canonical=np.concatenate(
            [none, *(f.canonical for f in figures), *(_own_place(p.vertices_world) for p in scene.props)]
        ).astype(np.float32),
        mark=np.concatenate([none[:, 0], *(f.mark for f in figures), *zeros]).astype(np.float32),
        material=np.concatenate([none[:, 0], *rows]).astype(np.int32),
        key=np.concatenate([none[:, 0], *(r + counts[-1] * p for r, p in zip(rows, parts, strict=True))]).astype(
            np.int32
        ),
        first_rows=tuple(int(row) for row in np.cumsum([0, *(len(f) for f in faces)])[:-1]),
        single=(
            *((cut, *_left(figure)) for cut, figure in zip(cuts, figures, strict=False)),
            *(
                (zero.astype(np.float64), *left_by_cut(zero, p.faces))
                for zero, p in zip(zeros, scene.props, strict=True)
            ),
        ),
    )


@lru_cache(maxsize=16)
def _left(figure: Figure) -> tuple[Int[np.ndarray, "_ 3"], Int[np.ndarray, "_"]]:
    """What its cut leaves of a figure's faces, and their rows."""
    return left_by_cut(figure.cut, figure.faces)


def _moments(scene: Scene) -> tuple[int, ...]:
    """Which moments of a scene to draw: one or two if nearly all of everybody moves less than `_STEPS_PX`, or all."""
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
    return (0,) if last == 0 or drawn == 1 else (0, last) if drawn == _FEW else tuple(range(last + 1))


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
            triangles(scene.camera, _in_camera(scene.camera, p), *single)
            for p, single in zip(points, meshes.single, strict=True)
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
    pixels: PixelRays


def _sight(shot: _Shot, rays: Rays) -> tuple[Sight, Float32[np.ndarray, "height width"], Drawn]:
    """Draw everybody alone at moment 0: who is seen at the pixels' centres, at which depth (z, m), on which face."""
    scene, around = shot.scene, shot.around[1]
    alone = tuple(draw(part, rays) for part in shot.stages[0].parts)
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
        depth = np.where(np.isfinite(nearest), nearest * rays[..., 2], np.inf).astype(np.float32)
    people = len(scene.actors)
    sight = Sight(alone[:people], tuple(part.points_px for part in shot.stages[0].parts[:people]), props_along, mask)
    return sight, depth, _nearest(alone, shot.meshes.first_rows, rays.shape)


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
    shot: _Shot, rays: Rays, centres: Drawn, places: tuple[tuple[float, float], ...]
) -> Float32[np.ndarray, "height width 3"]:
    """The mean light of several drawings over the surroundings, the first being that of the pixels' centres.

    Where all neighbours of a pixel show its material on the same part of the body, its other rays are taken to show
    what its centre does; of people who move by less than a pixel, those next to the neighbours as well.
    """
    stages, meshes, around = shot.stages, shot.meshes, shot.around[0]
    total = around.copy()
    if not stages[0].parts:
        return total
    buffers = np.full(total.shape[:2], -1, dtype=np.int32), np.empty_like(total), total
    normals = normals_of(stages[0].points_world, meshes.faces)
    _add_shaded(shot, normals, centres, rays, 1.0, buffers)
    count = -(-len(places) // len(stages)) * len(stages)
    if count == 1:
        return total
    asked: Pixels | None = None
    if len(stages) > _FEW:
        np.add(around, (total - around) / np.float32(count), out=total)
    else:
        asked = np.asarray(_edges(buffers[0], reach=len(stages)))
        total[asked] = around[asked] + (total[asked] - around[asked]) / np.float32(count)
    for number in range(1, count):
        moment, before = (k * len(stages) // count for k in (number, number - 1))
        if moment != before:
            normals = normals_of(stages[moment].points_world, meshes.faces)
            if len(stages) > _FEW:
                buffers[0][:] = -1  # what moves is shaded anew: its texture is to blur as well
        place = places[number % len(places)]
        rays = shot.pixels.at(place, asked)
        seen = draw(joined(stages[moment].parts, meshes.first_rows), rays, place, asked)
        _add_shaded(shot, normals, seen, rays, 1.0 / count, buffers)
    return total


def _edges(rows: Int[np.ndarray, "height width"], reach: int = 1) -> Pixels:
    """Pixels that have something else, or the border, at most `reach` pixels away (chessboard distance)."""
    padded = np.pad(rows, reach, constant_values=_BEYOND)
    least, most = padded, padded
    for _ in range(2 * reach):
        least, most = np.minimum(least[:-1], least[1:]), np.maximum(most[:-1], most[1:])
        least, most = np.minimum(least[:, :-1], least[:, 1:]), np.maximum(most[:, :-1], most[:, 1:])
    return least != most


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
    scene, meshes = shot.scene, shot.meshes
    inputs = [
        rays, world_from_cam(scene), wp.vec3(*scene.camera.position_world.double().tolist()), seen.face, seen.shares,
        seen.along, *shot.around, meshes.faces, meshes.material, meshes.key, normals, meshes.canonical, meshes.mark,
        shot.table, shot.light.lamp, pixel_angle(scene), weight, *buffers[:2],
        int(columns[0]), int(columns[-1]), int(rows[0]), buffers[2],
    ]  # fmt: skip
    wp.launch(shade_surfaces, dim=int(rows[-1] - rows[0]) + 1, inputs=inputs, device="cpu")
