"""A perspective crop is the picture that the virtual camera would have taken: held against ray-cast scenes.

The scenes know nothing of crops: the picture is ray-cast by the real camera, the truth by the virtual one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.testing import assert_close

from raycast_scene import Capsule, Plane, Scene, furnished_room, picture, waves
from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.perspective import PerspectiveCrop
from sightline.perspective.virtual import Turn, VirtualCamera

SIZE = (640, 480)
CROP = 128
FISHEYE = Distortion.create("kannala_brandt", [0.03, -0.02, 0.006, -0.0008])
BARREL = Distortion.create("brown_conrady", [-0.28, 0.09, -0.01], [0.0011, -0.0007])
CAMERAS = {
    "pinhole": Camera.create(SIZE, (270.0, 274.0), (318.0, 243.0)),  # 100° wide
    "distorted": Camera.create(SIZE, (300.0, 305.0), (325.0, 236.0), distortion=BARREL),
    "fisheye": Camera.create(SIZE, (190.0, 190.0), (322.0, 238.0), distortion=FISHEYE),
}
PLACES = {"centre": (322.0, 238.0), "border": (590.0, 240.0), "corner": (580.0, 430.0), "other corner": (60.0, 60.0)}


class Seen(NamedTuple):
    """A crop, what the virtual camera saw, and where the picture holds the crop."""

    crop: Tensor
    truth: Tensor
    inside: Tensor

    @property
    def error(self) -> float:
        """Mean absolute difference, grey levels, away from the picture's borders."""
        return (self.crop - self.truth).abs().mean(0)[self.inside].mean().item()


@lru_cache
def photo(camera: str) -> Tensor:
    return picture(furnished_room(), CAMERAS[camera], SIZE)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def lens(name: str) -> Camera | Tensor:
    """A pinhole is given by its K, as most networks will."""
    return CAMERAS[name].intrinsics if name == "pinhole" else CAMERAS[name]


def away_from_borders(layer: PerspectiveCrop, camera: Camera | Tensor, virtual: VirtualCamera, size: tuple) -> Tensor:
    inside = layer.inside(size, camera, virtual).double()
    return torch.nn.functional.avg_pool2d(inside[None], 5, 1, 2, count_include_pad=False)[0] == 1.0


def seen_at(name: str, place: str, **options) -> Seen:
    """A crop at about the scale of the picture."""
    layer = PerspectiveCrop(CROP, antialias=False, **options)
    crop, virtual = layer(photo(name), lens(name), tensor(*PLACES[place]), tensor(CROP, CROP))[:2]
    assert virtual.valid
    truth = picture(furnished_room(), virtual.intrinsics, (CROP, CROP), virtual.cam_from_virtual)
    return Seen(crop, truth, away_from_borders(layer, lens(name), virtual, SIZE))


# ---- the law -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", ["no_roll", "shortest"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", CAMERAS)
def test_the_crop_is_what_the_virtual_camera_sees(name: str, place: str, turn: Turn) -> None:
    seen = seen_at(name, place, turn=turn)
    assert seen.truth.std() > 20, "a flat picture would prove nothing"
    assert seen.inside.double().mean() > 0.6
    assert seen.error < 0.6, "grey levels; the task allows 1"


@pytest.mark.parametrize("options", [{"slant": False, "focal_at_plane": False}, {"square": False}], ids=str)
def test_it_is_for_every_choice_of_focal_length(options: dict) -> None:
    assert seen_at("pinhole", "corner", **options).error < 0.6


@pytest.mark.parametrize("name", CAMERAS)
def test_half_a_pixel_beside_it_would_be_found(name: str) -> None:
    seen = seen_at(name, "border")
    beside = (seen.crop[..., 1:] + seen.crop[..., :-1]) / 2 - seen.truth[..., :-1]
    assert beside.abs().mean(0)[seen.inside[:, :-1]].mean() > 1.0
    assert beside.abs().mean(0)[seen.inside[:, :-1]].mean() > 2.5 * seen.error


def test_the_lens_counts() -> None:
    """Cropping a picture by K alone, as if its lens were none, is far off at the border."""
    layer = PerspectiveCrop(CROP, antialias=False)
    camera = CAMERAS["distorted"]
    crop, virtual = layer(photo("distorted"), camera.intrinsics, tensor(590, 240), tensor(CROP, CROP))[:2]
    truth = picture(furnished_room(), virtual.intrinsics, (CROP, CROP), virtual.cam_from_virtual)
    inside = away_from_borders(layer, camera.intrinsics, virtual, SIZE)
    assert Seen(crop, truth, inside).error > 10.0


@pytest.mark.parametrize("turn", ["no_roll", "shortest"])
def test_on_the_axis_it_is_an_ordinary_crop(turn: Turn) -> None:
    """With the principal point on a corner of pixels, the crop is a slice of the picture."""
    image = photo("pinhole")
    camera = Camera.create(SIZE, 270.0, (318.0, 243.0))
    layer = PerspectiveCrop(CROP, antialias=False, turn=turn)
    crop = layer(image, camera.intrinsics, camera.center_px, tensor(CROP, CROP)).image
    assert_close(crop, image[:, 243 - 64 : 243 + 64, 318 - 64 : 318 + 64])
    larger = layer(image, camera.intrinsics, camera.center_px, tensor(CROP / 2, CROP / 2)).image
    part = image[None, :, 243 - 34 : 243 + 34, 318 - 34 : 318 + 34]
    expected = interpolate(part, scale_factor=2.0, mode="bilinear", align_corners=False)[0]
    assert_close(larger, expected[:, 4:-4, 4:-4])


# ---- one body, wherever it stands ----------------------------------------------------------------------------------


def balls(rays: Tensor) -> Scene:
    """Two touching balls 3 m away in some directions, each like the other as seen along its ray, before a dark sky."""
    things = []
    for ray in torch.nn.functional.normalize(rays, dim=-1):
        down = tensor(0, 1, 0) - ray[1] * ray
        middle, down = 3.0 * ray, down / down.norm()
        things += [Capsule(middle, middle, 0.3, lambda points: torch.full_like(points, 200.0))]
        things += [Capsule(middle + 0.4 * down, middle + 0.4 * down, 0.1, lambda points: torch.full_like(points, 90.0))]
    return Scene(things, sky=lambda rays: torch.zeros_like(rays))


def test_location_disappears() -> None:
    """What looks the same along its ray looks the same in perspective crops, and does not in plain ones."""
    camera = CAMERAS["pinhole"]
    centers = torch.stack([camera.center_px, tensor(560, 400)])
    rays, _ = camera.unproject(centers)
    image = picture(balls(rays), camera, SIZE, samples=2)
    # without focal_at_plane and slant the virtual focal length, and so the scale, is the same everywhere
    layer = PerspectiveCrop(96, antialias=False, slant=False, focal_at_plane=False)
    twice = (image.expand(2, -1, -1, -1), camera.intrinsics.expand(2, 3, 3))
    first, second = layer(*twice, centers, tensor(96, 96).expand(2, 2)).image
    assert (first - second).abs().mean() < 1.0
    plain = [image[:, y - 48 : y + 48, x - 48 : x + 48] for x, y in centers.long().tolist()]
    assert (plain[0] - plain[1]).abs().mean() > 10.0


# ---- anti-aliasing -------------------------------------------------------------------------------------------------


FINE = {"fine": (0.05, 0.5), "middling": (0.1, 1.0)}  # shortest and longest wave, m
LARGE = (800, 600)
LARGE_CAMERA = Camera.create(LARGE, (400.0, 404.0), (404.0, 296.0))
MIDDLE, CORNER = (404.0, 296.0), (624.0, 448.0)


@lru_cache
def fine_photo(texture: str) -> Tensor:
    return picture(furnished_room(*FINE[texture]), LARGE_CAMERA, LARGE, samples=2)


def shrunk(texture: str, place: tuple[float, float], shrink: float, *, antialias: bool) -> float:
    """Mean error (grey levels) of a crop whose pixels cover `shrink` of the picture's, to the supersampled truth."""
    layer = PerspectiveCrop(48, antialias=antialias)
    camera = LARGE_CAMERA.intrinsics
    crop, virtual = layer(fine_photo(texture), camera, tensor(*place), tensor(48 * shrink, 48 * shrink))[:2]
    room = furnished_room(*FINE[texture])
    truth = picture(room, virtual.intrinsics, (48, 48), virtual.cam_from_virtual, samples=4)
    return Seen(crop, truth, away_from_borders(layer, camera, virtual, LARGE)).error


@pytest.mark.parametrize("place", [MIDDLE, CORNER], ids=["centre", "corner"])
@pytest.mark.parametrize("shrink", [3.0, 6.0])
@pytest.mark.parametrize("texture", FINE)
def test_antialiasing_comes_close_to_a_supersampled_picture(texture: str, shrink: float, place: tuple) -> None:
    aliased = shrunk(texture, place, shrink, antialias=False)
    smoothed = shrunk(texture, place, shrink, antialias=True)
    assert aliased > 0.8
    assert smoothed < aliased / 6, "measured: 8.6 to 12 times smaller"
    assert smoothed < 2.0


@pytest.mark.parametrize("shrink", [0.5, 1.0, 1.5])
def test_antialiasing_does_not_blur_what_needs_none(shrink: float) -> None:
    for place in [MIDDLE, CORNER]:
        smoothed = shrunk("fine", place, shrink, antialias=True)
        assert smoothed < 1.1 * shrunk("fine", place, shrink, antialias=False) + 0.05


# ---- the scene itself ----------------------------------------------------------------------------------------------


def grey(points: Tensor) -> Tensor:
    return torch.full_like(points, 100.0)


def test_rays_meet_planes_balls_and_capsules_where_they_are() -> None:
    origin = torch.zeros(1, 3, dtype=torch.float64)
    ahead = tensor(0, 0, 1)[None]
    cases = [
        (Plane((0, 0, 5), (0, 0, -2), grey), ahead, 5.0),
        (Plane((0, 0, 5), (0, 0, 1), grey), ahead, float("inf")),  # from behind
        (Plane((0, 1, 0), (0, -1, 0), grey), tensor(0, 0.6, 0.8)[None], 1 / 0.6),
        (Capsule((0, 0, 4), (0, 0, 4), 0.5, grey), ahead, 3.5),
        (Capsule((0, 0, -4), (0, 0, -4), 0.5, grey), ahead, float("inf")),
        (Capsule((-1, 0, 4), (1, 0, 4), 0.5, grey), ahead, 3.5),
        (Capsule((0, 0, 4), (0, 0, 6), 0.5, grey), ahead, 3.5),  # along its axis
        (Capsule((-1, 0.3, 4), (1, 0.3, 4), 0.5, grey), ahead, 3.6),
        (Capsule((0.3, 0, 4), (2, 0, 4), 0.5, grey), ahead, 3.6),  # its round end
        (Capsule((0.6, 0, 4), (2, 0, 4), 0.5, grey), ahead, float("inf")),
    ]
    for surface, rays, expected in cases:
        assert_close(surface.hit(origin, rays)[0].item(), expected)


def test_points_of_a_capsule_keep_its_radius_and_face_the_camera() -> None:
    start, end = tensor(-0.4, 0.2, 3.0), tensor(0.5, -0.3, 4.0)
    capsule = Capsule(start, end, 0.3, grey)
    rays = torch.nn.functional.normalize(torch.randn(4000, 3).double() * 0.15 + tensor(0, 0, 1), dim=-1)
    distance = capsule.hit(torch.zeros(1, 3, dtype=torch.float64), rays)
    hit = distance.isfinite()
    points = rays[hit] * distance[hit, None]
    share = ((points - start) @ (end - start) / (end - start).square().sum()).clamp(0, 1)
    gap = (points - start - share[:, None] * (end - start)).norm(dim=-1)
    assert 200 < hit.sum() < 3800
    assert_close(gap, torch.full_like(gap, 0.3))
    assert ((capsule.normals(points) * rays[hit]).sum(-1) < 1e-6).all()


def test_the_nearest_surface_is_seen_and_textures_are_smooth() -> None:
    paint = waves(0.3, 1.5, 3)
    front = Capsule((0, 0, 2), (0, 0, 2), 0.5, lambda points: torch.full_like(points, 7.0))
    scene = Scene([front, Plane((0, 0, 4), (0, 0, -1), paint)], sky=grey)
    rays = torch.nn.functional.normalize(tensor(0, 0, 1, 1, 0, 1, 0, 0, -1).reshape(3, 3), dim=-1)
    colours = scene.render(rays)
    assert_close(colours[0], torch.full_like(colours[0], 7.0))
    assert_close(colours[1], paint(tensor(4, 0, 4)[None])[0])
    assert_close(colours[2], torch.full_like(colours[2], 100.0))
    along = torch.linspace(0, 2, 2001, dtype=torch.float64)[:, None] * tensor(0.36, 0.48, 0.8)
    steepest = (paint(along)[1:] - paint(along)[:-1]).abs().max() / 1e-3
    assert steepest <= 120.0 * 2 * torch.pi / 0.3, "no wave is shorter than 0.3 m"
    assert paint(along).min() > 0
    assert paint(along).max() < 255
