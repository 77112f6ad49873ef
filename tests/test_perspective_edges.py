"""Perspective layers at their edges: types, autocast, several people with a camera each, and what is no camera."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.perspective import (
    AffineSTN,
    PerspectiveCrop,
    PerspectiveKeypoints,
    PerspectiveRotation,
    PerspectiveSTN,
    Region,
    keypoints_in_virtual,
    poses_from_virtual,
    poses_in_virtual,
    virtual_camera,
)
from sightline.perspective.resampling import _centres, _divided, _Grid

SIZE = (300, 200)
K = torch.tensor([[200.0, 0.0, 150.0], [0.0, 200.0, 100.0], [0.0, 0.0, 1.0]])
BARREL = Camera.create(SIZE, 200.0, distortion=Distortion.create("brown_conrady", [-0.1]))
FISHEYE = Camera.create(SIZE, 120.0, distortion=Distortion.create("kannala_brandt", [0.01]))

Layer = Callable[[Tensor, object, Tensor, Tensor], Tensor]
"""Pictures, a camera, centres and sizes of regions → something that depends on all of them."""


def keypoints_of(center: Tensor, size: Tensor) -> Tensor:
    """Seventeen keypoints of each region, the first in its middle."""
    chance = torch.rand(17, 2, generator=torch.manual_seed(3)).to(size) - 0.5
    chance[0] = 0.0
    return center[..., None, :] + chance * size[..., None, :]


def of_root(image: Tensor, camera: object, center: Tensor, size: Tensor) -> Tensor:
    depth = 3.0 + torch.arange(center[..., 0].numel()).reshape(center.shape[:-1]).to(center)
    return PerspectiveKeypoints(scale="3d_root")(keypoints_of(center, size), camera, depth).points  # type: ignore[arg-type]


LAYERS: dict[str, Layer] = {
    "crop": lambda image, camera, center, size: PerspectiveCrop(12)(image, camera, center, size).image,  # type: ignore[arg-type]
    "shortest": lambda image, camera, center, size: (
        PerspectiveCrop(12, turn="shortest", border="border")(
            image,
            camera,  # type: ignore[arg-type]
            center,
            size,
        ).image
    ),
    "rotation": lambda image, camera, center, size: PerspectiveRotation(12)(image, camera, center, size).image,  # type: ignore[arg-type]
    "keypoints": lambda image, camera, center, size: (
        PerspectiveKeypoints()(
            keypoints_of(center, size),
            camera,  # type: ignore[arg-type]
        ).points
    ),
    "keypoints, root": of_root,
}


def inputs(*regions: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Smooth pictures, a K each, and regions within them."""
    chance = torch.manual_seed(0)
    coarse = torch.rand(regions[0], 3, 20, 30, generator=chance)
    image = nn.functional.interpolate(coarse, (SIZE[1], SIZE[0]), mode="bicubic")
    intrinsics = K.repeat(regions[0], 1, 1)
    intrinsics[:, 0, 0] += 40.0 * torch.arange(regions[0])
    intrinsics[:, 0, 2] += 9.0 * torch.arange(regions[0])
    center = torch.tensor([60.0, 50.0]) + torch.tensor([180.0, 100.0]) * torch.rand(*regions, 2, generator=chance)
    return image, intrinsics, center, 30 + 40 * torch.rand(*regions, 2, generator=chance)


# ---- types ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_types_may_differ(name: str) -> None:
    image, intrinsics, center, size = inputs(2)
    layer = LAYERS[name]
    expected = layer(image, intrinsics, center, size)
    for mixed in itertools.product((torch.float32, torch.float64), repeat=3):
        found = layer(image, *(value.to(dtype) for value, dtype in zip((intrinsics, center, size), mixed, strict=True)))
        assert_close(found.float(), expected, rtol=1e-3, atol=1e-3)
    if "keypoints" not in name:
        whole = layer(image, intrinsics, center.round().long(), size)
        assert_close(whole, layer(image, intrinsics, center.round(), size))


def test_a_camera_in_double_precision_goes_with_a_network_in_single() -> None:
    image, _, center, size = inputs(2)
    view = PerspectiveCrop(12)(image, Camera.create(SIZE, 200.0), center, size)
    assert view.image.dtype == torch.float32
    joints = torch.randn(2, 17, 3, generator=torch.manual_seed(1))
    assert view.poses_in_camera(joints).dtype == torch.float32
    assert_close(poses_in_virtual(view.virtual, view.poses_in_camera(joints)), joints)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", LAYERS)
def test_autocast_does_not_blur_the_geometry(name: str, dtype: torch.dtype) -> None:
    values = inputs(2)
    expected = LAYERS[name](*values)
    with torch.autocast("cpu", dtype=dtype):
        assert_close(LAYERS[name](*values), expected)
        virtual = virtual_camera(*values[1:], (64, 64))
        joints = torch.randn(2, 17, 3, generator=torch.manual_seed(1))
        assert poses_from_virtual(virtual, joints).dtype == torch.float32
    assert_close(poses_in_virtual(virtual, poses_from_virtual(virtual, joints)), joints)


# ---- axes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("people", [2, 5])
@pytest.mark.parametrize("name", LAYERS)
def test_several_people_of_each_picture_have_the_pictures_camera(name: str, people: int) -> None:
    """Also where there are as many people as pictures, and nothing would be noticed."""
    image, intrinsics, center, size = inputs(2, people)
    found = LAYERS[name](image, intrinsics, center, size)
    lens = Camera(
        image_size=torch.tensor(SIZE).float().expand(2, 2).contiguous(),
        focal_px=torch.diagonal(intrinsics, dim1=1, dim2=2)[:, :2].contiguous(),
        center_px=intrinsics[:, :2, 2].contiguous(),
    )
    assert_close(LAYERS[name](image, lens, center, size), found, rtol=1e-4, atol=1e-4)
    for picture, person in itertools.product(range(2), range(people)):
        one = LAYERS[name](image[picture], intrinsics[picture], center[picture, person], size[picture, person])
        if name == "keypoints, root":
            continue  # its depth is counted anew
        assert_close(found[picture, person], one, rtol=1e-3, atol=1e-3)


def test_each_person_has_their_own_depth() -> None:
    image, intrinsics, center, size = inputs(2, 3)
    depth = 2.0 + torch.arange(6.0).reshape(2, 3)
    layer = PerspectiveKeypoints(scale="3d_root")
    view = layer(keypoints_of(center, size), intrinsics, depth)
    one = layer(keypoints_of(center[1, 2], size[1, 2]), intrinsics[1], depth[1, 2])
    assert_close(view.points[1, 2], one.points)
    shared = layer(keypoints_of(center, size), intrinsics, depth[:, 0])
    assert_close(shared.points[1, 0], view.points[1, 0])
    del image


@pytest.mark.parametrize("lens", [BARREL, FISHEYE], ids=["barrel", "fisheye"])
def test_a_batch_of_lenses_and_several_people_of_each(lens: Camera) -> None:
    image, _, center, size = inputs(2, 3)
    lenses = lens.to(torch.float32).expand(2)
    view = PerspectiveCrop(12)(image, lenses, center, size)
    one = PerspectiveCrop(12)(image[1], lens.to(torch.float32), center[1, 2], size[1, 2])
    assert_close(view.image[1, 2], one.image, rtol=1e-4, atol=1e-4)
    seen = keypoints_in_virtual(lenses, view.virtual, keypoints_of(center, size))
    alone = keypoints_in_virtual(lens, one.virtual, keypoints_of(center[1, 2], size[1, 2]))
    assert_close(seen[1, 2], alone.float(), rtol=1e-4, atol=1e-4)
    turned = PerspectiveRotation(12)(image, lenses, center, size)
    assert turned.virtual.valid.all()
    assert_close(
        keypoints_in_virtual(lenses, turned.virtual, center[..., None, :]),
        torch.full((2, 3, 1, 2), 6.0),
        rtol=0,
        atol=1e-3,
    )


@pytest.mark.parametrize("count", [(7,), (3, 2), (2, 5, 1)])
def test_cameras_that_belong_to_no_region_are_refused(count: tuple[int, ...]) -> None:
    image, _, center, size = inputs(2, 5)
    many = K.expand(*count, 3, 3)
    for layer in (PerspectiveCrop(8), PerspectiveRotation(8)):
        with pytest.raises(ValueError, match=r"camera: expected batch axes that \(2, 5\) begins with"):
            layer(image, many, center, size)
    with pytest.raises(ValueError, match=r"camera: expected batch axes that"):
        PerspectiveKeypoints()(keypoints_of(center, size), many)


@pytest.mark.parametrize("regions", [(0,), (2, 0), (0, 3)])
def test_nobody_is_a_normal_result(regions: tuple[int, ...]) -> None:
    image, center = torch.rand(regions[0], 3, 200, 300), torch.zeros(*regions, 2)
    for layer in (PerspectiveCrop(8), PerspectiveCrop(8, border="border"), PerspectiveRotation(8)):
        assert layer(image, K, center, center + 1).image.shape == (*regions, 3, 8, 8)
    assert PerspectiveKeypoints()(torch.zeros(*regions, 17, 2), K).points.shape == (*regions, 17, 2)


def test_the_camera_of_another_picture_is_refused() -> None:
    image, _, center, size = inputs(2)
    other = Camera.create((600, 400), 400.0)
    for layer in (PerspectiveCrop(8), PerspectiveRotation(8)):
        with pytest.raises(ValueError, match="camera: expected that of a picture of 300 × 200 px, got"):
            layer(image, other, center, size)
        assert layer(image, other.resized(SIZE), center, size).virtual.valid.all()


# ---- what is none --------------------------------------------------------------------------------------------------

EXTREME = {
    "a speck": ([90.0, 90.0], [1e-20, 1e-20]),
    "a world": ([90.0, 90.0], [1e14, 1e14]),
    "far off": ([1e10, 90.0], [60.0, 60.0]),
    "further": ([1e30, -1e30], [60.0, 60.0]),
    "largest": ([3e38, 90.0], [3e38, 3e38]),
}


@pytest.mark.parametrize("border", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("case", EXTREME)
@pytest.mark.parametrize(
    "camera", [K, BARREL.to(torch.float32), FISHEYE.to(torch.float32)], ids=["K", "barrel", "fish"]
)
def test_regions_of_no_sense_do_no_harm(camera: Camera | Tensor, case: str, border: str) -> None:
    """What a localiser that diverges asks for: black or a picture, but no NaN, and no gradient that is one."""
    image, _, center, size = inputs(2)
    center, size = (
        torch.stack([good[0], torch.tensor(bad)]).requires_grad_()
        for good, bad in zip((center, size), EXTREME[case], strict=True)
    )
    image.requires_grad_()
    for layer in (
        PerspectiveCrop(8, border=border),  # type: ignore[arg-type]
        PerspectiveCrop(8, border=border, antialias=False),  # type: ignore[arg-type]
        PerspectiveRotation(8, border=border),  # type: ignore[arg-type]
    ):
        view = layer(image, camera, center, size)
        assert view.virtual.valid.tolist()[0]
        assert view.image.isfinite().all()
        view.image.square().sum().backward()
        for value in (image, center, size):
            assert value.grad is not None
            assert value.grad.isfinite().all()
            value.grad = None


@pytest.mark.parametrize("bad", [0.0, -200.0, math.nan, math.inf])
@pytest.mark.parametrize("name", LAYERS)
def test_a_k_that_is_none_pulls_at_nothing(name: str, bad: float) -> None:
    """One of two; the focal length that both share stays clean."""
    image, _, center, size = inputs(2)
    focal = torch.tensor(200.0).requires_grad_()
    entries = torch.zeros(2, 3, 3)
    entries[:, 0, 0] = entries[:, 1, 1] = 1.0
    rest = torch.tensor([[0.0, 0, 150], [0, 0, 100], [0, 0, 1]]).repeat(2, 1, 1)
    factor = torch.tensor([1.0, bad / 200.0])
    intrinsics = entries * focal * factor[:, None, None].nan_to_num() + rest
    intrinsics = torch.where(torch.tensor([False, not math.isfinite(bad)])[:, None, None], bad, intrinsics)
    center.requires_grad_()
    size.requires_grad_()
    LAYERS[name](image, intrinsics, center, size).nan_to_num().square().sum().backward()
    for value in (focal, center, size):
        assert value.grad is not None
        assert value.grad.isfinite().all()
    assert center.grad is not None
    assert (center.grad[1] == 0).all()


@pytest.mark.parametrize("depth", [0.0, -1.0, math.nan, math.inf])
def test_a_depth_that_is_none_pulls_at_nothing(depth: float) -> None:
    _, _, center, size = inputs(2)
    intrinsics = K.clone().requires_grad_()
    depths = torch.tensor([3.0, depth])
    view = PerspectiveKeypoints(scale="3d_root")(keypoints_of(center, size), intrinsics, depths)
    assert view.virtual.valid.tolist() == [True, False]
    view.points.nan_to_num().square().sum().backward()
    assert intrinsics.grad is not None
    assert intrinsics.grad.isfinite().all()


def test_a_fisheye_has_no_distance_scale() -> None:
    _, _, center, size = inputs(2)
    with pytest.raises(ValueError, match='scale: "3d_root" needs a lens with one focal length, got a fisheye'):
        PerspectiveKeypoints(scale="3d_root")(keypoints_of(center, size), FISHEYE, torch.ones(2))


def test_without_a_virtual_camera_there_are_no_poses_and_no_keypoints() -> None:
    _, intrinsics, center, _ = inputs(2)
    virtual = virtual_camera(intrinsics, center, torch.tensor([[50.0, 50.0], [0.0, 50.0]]), (64, 64))
    joints = torch.ones(2, 4, 3)
    for found in (poses_from_virtual(virtual, joints), poses_in_virtual(virtual, joints)):
        assert found[0].isfinite().all()
        assert found[1].isnan().all()
    assert keypoints_in_virtual(intrinsics, virtual, center[:, None])[1].isnan().all()


@pytest.mark.parametrize("azimuth_deg", [0, 30, 60, 80, 90, 135, 200, 300])
@pytest.mark.parametrize("angle_deg", [40.0, 80.0, 89.0, 91.0, 100.0])
def test_a_fisheye_has_one_scale_all_around(angle_deg: float, azimuth_deg: float) -> None:
    """250 px per radian, seen twice as large: between that along the circle about the axis and across it."""
    fisheye = Camera.create((1000, 1000), 250.0, distortion=Distortion.create("kannala_brandt", []))
    angle, azimuth = math.radians(angle_deg), math.radians(azimuth_deg + 0.01)
    away = torch.tensor([[math.cos(azimuth), math.sin(azimuth)]], dtype=torch.float64) * 250 * angle
    virtual = virtual_camera(fisheye, 500 + away, torch.full((1, 2), 50.0).double(), (100, 100))
    assert virtual.valid.all()
    focal = float(virtual.intrinsics[0, 0, 0])
    assert 0.97 * 500 <= focal <= 1.03 * 500 * angle / math.sin(angle)


# ---- reading -------------------------------------------------------------------------------------------------------


def test_smoothing_is_about_the_region_and_not_the_picture() -> None:
    """A picture no larger than the crop: a region four times as large is smoothed all the same."""
    stripes = (torch.arange(256) % 3 == 0).float().expand(1, 1, 256, 256).contiguous()
    k = torch.tensor([[9000.0, 0, 128], [0, 9000, 128], [0, 0, 1]])
    center, size = torch.tensor([[128.0, 128.0]]), torch.tensor([[1000.0, 1000.0]])
    smooth, rough = (
        PerspectiveCrop(256, antialias=antialias)(stripes, k, center, size).image[0, 0, 100:156, 100:156]
        for antialias in (True, False)
    )
    assert (smooth - 1 / 3).abs().mean() < 0.6 * (rough - 1 / 3).abs().mean()
    assert (rough - 1 / 3).abs().mean() > 0.2


def test_grids_are_worked_out_by_and_by_as_at_once() -> None:
    rows = torch.eye(3, dtype=torch.float64).repeat(5, 1, 1)
    rows = rows + 0.003 * torch.randn(5, 3, 3, dtype=torch.float64, generator=torch.manual_seed(0))
    one, other = (rows.clone().requires_grad_() for _ in range(2))
    wh = (150, 200)
    pull = torch.randn(5, 200, 150, 2, dtype=torch.float64, generator=torch.manual_seed(1))
    found, expected = _Grid.apply(one, wh), _divided(other, *_centres(other, wh))
    assert_close(found, expected)
    (found * pull).sum().backward()  # type: ignore[operator]
    (expected * pull).sum().backward()
    assert_close(one.grad, other.grad)
    small = rows[:2].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda value: _Grid.apply(value, (5, 4)), (small,))


class Fixed(nn.Module):
    """A localiser that always looks at one region."""

    def __init__(self) -> None:
        super().__init__()
        self.center, self.scale = nn.Parameter(torch.tensor([0.1, -0.2])), nn.Parameter(torch.tensor([0.3, 0.4]))

    def forward(self, image: Tensor) -> Region:
        return Region(self.center.expand(len(image), 2), self.scale.expand(len(image), 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_both_transformers_take_pictures_of_any_type_and_learn_sizes(dtype: torch.dtype) -> None:
    image = inputs(2)[0].to(dtype)
    for camera in (K, BARREL):
        fixed = Fixed()
        plain, _ = AffineSTN(fixed, 24)(image)
        view, _ = PerspectiveSTN(fixed, PerspectiveCrop(24))(image, camera)
        assert plain.dtype == view.image.dtype == dtype
        (plain.float().square().sum() + view.image.float().square().sum()).backward()
        for parameter in fixed.parameters():
            assert parameter.grad is not None
            assert parameter.grad.isfinite().all()
            assert (parameter.grad != 0).all()


def test_a_plain_transformer_refuses_what_the_other_does() -> None:
    with pytest.raises(ValueError, match="size: expected a positive width and height"):
        AffineSTN(Fixed(), 0)


def test_gradients_reach_a_lens() -> None:
    """Its focal length, principal point and coefficients, by the same numbers as finite differences."""
    image, center = inputs(1)[0].double(), torch.tensor([[221.0, 57.0]], dtype=torch.float64)
    size = torch.tensor([[40.0, 50.0]], dtype=torch.float64)

    def seen(focal: Tensor, principal: Tensor, radial: Tensor) -> Tensor:
        lens = Distortion(model="brown_conrady", radial=radial)
        camera = Camera(image_size=torch.tensor(SIZE).double(), focal_px=focal, center_px=principal, distortion=lens)
        view = PerspectiveCrop(5, antialias=False)(image, camera, center, size)
        return torch.cat([view.image.flatten(), view.virtual.intrinsics.flatten()])

    values = [torch.tensor(value, dtype=torch.float64) for value in ([210.0, 190.0], [149.3, 101.2], [-0.08, 0.01])]
    assert torch.autograd.gradcheck(seen, [value.requires_grad_() for value in values], eps=1e-5, atol=1e-3, rtol=1e-2)


def test_what_a_picture_holds_is_asked_with_the_pictures_own_camera() -> None:
    image, intrinsics, center, size = inputs(2, 3)
    crop = PerspectiveCrop(16)
    view = crop(image, intrinsics, center, 6 * size)
    inside = crop.inside(SIZE, intrinsics, view.virtual)
    assert 0.1 < inside.float().mean() < 0.9
    one = crop(image[1], intrinsics[1], center[1, 2], 6 * size[1, 2])
    assert (inside[1, 2] == crop.inside(SIZE, intrinsics[1], one.virtual)).all()
