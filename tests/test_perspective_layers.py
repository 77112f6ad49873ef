"""The layers: crops, keypoints, spatial transformers, rotation, encoding; compiled and exported they do the same."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.geometry.homography import warp_points
from sightline.perspective import (
    AffineSTN,
    Localizer,
    PerspectiveCrop,
    PerspectiveEncoding,
    PerspectiveKeypoints,
    PerspectiveRotation,
    PerspectiveSTN,
    Region,
    encoding_map,
    keypoints_in_virtual,
    resnet18_localizer,
)
from sightline.perspective.pyramid import levels_for, look_up_smoothly, pyramid
from sightline.perspective.resampling import crop_grid
from sightline.perspective.virtual import cam_px_from_virtual_px

K = torch.tensor([[200.0, 0.0, 150.0], [0.0, 200.0, 100.0], [0.0, 0.0, 1.0]])
SIZE = (300, 200)


def pictures(count: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    """Smooth pictures."""
    coarse = torch.rand(count, 3, 20, 30, generator=torch.manual_seed(0), dtype=dtype)
    return nn.functional.interpolate(coarse, (SIZE[1], SIZE[0]), mode="bicubic")


def boxes(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.manual_seed(1)
    centers = torch.rand(*shape, 2, generator=generator) * torch.tensor(SIZE)
    return centers, 30 + 80 * torch.rand(*shape, 2, generator=generator)


# ---- crops ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"antialias": False}, {"turn": "shortest"}, {"square": False}])
def test_a_crop_holds_what_the_homography_finds(options: dict[str, Any]) -> None:
    """Each pixel is the picture's colour at the place that the homography takes its centre to."""
    image, (centers, sizes) = pictures(), boxes(2)
    crop = PerspectiveCrop((48, 32), **options)
    view = crop(image, K, centers, sizes)
    assert view.image.shape == (2, 3, 32, 48)
    centres = torch.stack(torch.meshgrid(torch.arange(48) + 0.5, torch.arange(32) + 0.5, indexing="xy"), -1)
    places = warp_points(cam_px_from_virtual_px(K, view.virtual), centres.flatten(0, 1))
    grid = (2 * places / torch.tensor(SIZE) - 1).unflatten(1, (32, 48))
    assert_close(crop_grid(K, view.virtual, (48, 32), SIZE), grid, rtol=1e-4, atol=1e-4)
    found = nn.functional.grid_sample(image, grid, align_corners=False)
    if not options.get("antialias", True):
        assert_close(view.image, found, rtol=1e-3, atol=1e-3)
    else:
        assert (view.image - found).abs().mean() < 0.02


def test_on_the_axis_a_crop_is_the_picture_itself() -> None:
    """Size for size at the principal point: the same pixels, none resampled."""
    image = torch.rand(1, 3, 40, 60)
    intrinsics = torch.tensor([[50.0, 0, 30], [0, 50, 20], [0, 0, 1]])
    view = PerspectiveCrop((20, 10))(image, intrinsics, torch.tensor([[30.0, 20.0]]), torch.tensor([[20.0, 10.0]]))
    assert_close(view.image, image[:, :, 15:25, 20:40], rtol=0, atol=1e-5)


def test_any_leading_axes_and_a_camera_each() -> None:
    image, (centers, sizes) = pictures(6).reshape(2, 3, 3, 200, 300), boxes(2, 3, 4)
    intrinsics = K.repeat(2, 3, 1, 1)
    intrinsics[..., 0, 0] += torch.arange(6.0).reshape(2, 3)
    crop = PerspectiveCrop(16)
    view = crop(image, intrinsics, centers, sizes)
    assert view.image.shape == (2, 3, 4, 3, 16, 16)
    one = crop(image[1, 2], intrinsics[1, 2], centers[1, 2, 3], sizes[1, 2, 3])
    assert one.image.shape == (3, 16, 16)
    assert_close(view.image[1, 2, 3], one.image)
    assert_close(view.virtual.intrinsics[1, 2, 3], one.virtual.intrinsics)
    several = crop(image[1, 2], K, centers[1, 2], sizes[1, 2])
    assert several.image.shape == (4, 3, 16, 16)


def test_it_has_no_parameters_and_no_state() -> None:
    for layer in (PerspectiveCrop(8), PerspectiveKeypoints(), PerspectiveRotation(8), PerspectiveEncoding()):
        assert not layer.state_dict()


@pytest.mark.slow
def test_gradients_reach_picture_region_and_intrinsics() -> None:
    image = torch.rand(2, 2, 12, 14, dtype=torch.float64, generator=torch.manual_seed(2)).requires_grad_()
    intrinsics = torch.tensor([[15.0, 0, 7.3], [0, 14.0, 6.1], [0, 0, 1]]).double().repeat(2, 1, 1).requires_grad_()
    center = torch.tensor([[6.31, 5.27], [8.9, 7.77]], dtype=torch.float64).requires_grad_()
    size = torch.tensor([[5.2, 4.4], [13.1, 11.3]], dtype=torch.float64).requires_grad_()
    crop = PerspectiveCrop(4)
    mask = torch.tensor([[1.0, 0, 1], [0, 1, 1], [0, 0, 0]], dtype=torch.float64)
    known = intrinsics.detach().clone()

    def cut(*values: Tensor) -> Tensor:
        picture, free, where, extent = values
        return crop(picture, known * (1 - mask) + free * mask, where, extent).image

    assert torch.autograd.gradcheck(cut, (image, intrinsics, center, size))


LENSES = {
    "pinhole": K,
    "barrel": Camera.create(SIZE, 200.0, distortion=Distortion.create("brown_conrady", [-0.1]), dtype=torch.float32),
    "fisheye": Camera.create(SIZE, 120.0, distortion=Distortion.create("kannala_brandt", [0.01]), dtype=torch.float32),
}


@pytest.mark.parametrize("border", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("lens", LENSES)
def test_what_cannot_be_cropped_is_black_and_pulls_at_nothing(lens: str, border: str) -> None:
    """A region without size, one at NaN, one far outside: no NaN anywhere, nor in gradients."""
    image = pictures().requires_grad_()
    center = torch.tensor([[[150.0, 100], [math.nan, 50], [90, 90]], [[60, 60], [90, 120], [-4000, 100]]])
    size = torch.tensor([[[60.0, 60], [60, 60], [0, 60]], [[60, -5], [70, 60], [60, 60]]])
    center.requires_grad_()
    size.requires_grad_()
    crop = PerspectiveCrop(24, border=border)  # type: ignore[arg-type]
    view = crop(image, LENSES[lens], center, size)
    assert view.virtual.valid.flatten().tolist()[:5] == [True, False, False, False, True]
    assert view.image.isfinite().all()
    assert (view.image[~view.virtual.valid] == 0).all()
    view.image.square().sum().backward()
    for value in (image, center, size):
        assert value.grad is not None
        assert value.grad.isfinite().all()
        assert (value.grad != 0).any()
    inside = crop.inside(SIZE, LENSES[lens], view.virtual)
    assert inside[0, 0].all()
    assert not inside[~view.virtual.valid].any()
    if border == "zeros":
        assert (view.image[1, 2] == 0).all()
    assert not inside[1, 2].any()


@pytest.mark.parametrize("antialias", [True, False])
def test_borders_are_filled_by_the_rule(antialias: bool) -> None:
    """A picture of one colour stays so beyond its border, or turns black, as asked; a ramp is reflected."""
    flat, k = torch.full((1, 1, 40, 40), 0.5), torch.tensor([[80.0, 0, 20], [0, 80, 20], [0, 0, 1]])
    center, size = torch.tensor([[20.0, 20.0]]), torch.tensor([[80.0, 80.0]])
    for border, outside in (("zeros", 0.0), ("border", 0.5), ("reflection", 0.5)):
        crop = PerspectiveCrop(20, border=border, antialias=antialias)  # type: ignore[arg-type]
        view = crop(flat, k, center, size)
        inside = crop.inside((40, 40), k, view.virtual)
        assert inside[0, 6:14, 6:14].all()
        assert not inside[0, :4].any()
        assert_close(view.image[0, 0, 6:14, 6:14], torch.full((8, 8), 0.5))
        assert_close(view.image[0, 0, :4], torch.full((4, 20), outside))
    ramp = torch.arange(40.0).expand(1, 1, 40, 40) + 0.5
    seen = PerspectiveCrop(40, border="reflection", antialias=antialias)(ramp, k, center, size).image[0, 0, 20]
    places = 20 + (torch.arange(40) + 0.5 - 20) * 2
    folded = torch.where(places < 0, -places, torch.where(places > 40, 80 - places, places))
    assert_close(seen, folded, rtol=0, atol=1.0)


def test_rays_behind_the_camera_are_not_seen() -> None:
    """A crop so wide that its corners look backwards: black there, and marked."""
    image, k = torch.ones(1, 1, 100, 100), torch.tensor([[20.0, 0, 50], [0, 20, 50], [0, 0, 1]])
    center, size = torch.tensor([[95.0, 50.0]]), torch.tensor([[900.0, 900.0]])
    for border in ("zeros", "border"):
        crop = PerspectiveCrop(64, border=border, antialias=False)  # type: ignore[arg-type]
        view = crop(image, k, center, size)
        inside = crop.inside((100, 100), k, view.virtual)
        assert 0 < inside.float().mean() < 1
        assert not inside[0, :, -5:].any()
    assert view.image.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_pictures_of_any_float_type(dtype: torch.dtype) -> None:
    image, (centers, sizes) = pictures(), boxes(2)
    crop = PerspectiveCrop(32)
    view = crop(image.to(dtype), K, centers, sizes)
    assert view.image.dtype == dtype
    assert_close(view.image.float(), crop(image, K, centers, sizes).image, rtol=0, atol=0.02)


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "other count": (lambda: PerspectiveCrop(8)(pictures(3), K, *boxes(2)), r"center_px: expected regions for \(3,\)"),
    "no size": (lambda: PerspectiveCrop((8, 0)), "size: expected a positive width and height"),
    "camera count": (
        lambda: PerspectiveCrop(8)(pictures(), Camera.create(SIZE, 200.0, dtype=torch.float32).expand(3), *boxes(2)),
        r"camera: expected batch axes that \(2,\) begins with, got \(3,\)",
    ),
    "depth without need": (
        lambda: PerspectiveKeypoints()(torch.rand(1, 17, 2), K, torch.ones(1)),
        'root_depth_m: scale "2d" takes no root_depth_m',
    ),
    "depth missing": (
        lambda: PerspectiveKeypoints(scale="3d_root")(torch.rand(1, 17, 2), K),
        'root_depth_m: scale "3d_root" takes root_depth_m',
    ),
    "stride": (lambda: PerspectiveEncoding(stride=0.0), "stride: expected a positive number"),
    "localiser": (
        lambda: Localizer(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)))(pictures()),
        r"network: expected \(batch, 4\)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_wrong_calls_are_refused_in_a_sentence(case: str) -> None:
    call, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        call()


# ---- shrinking -----------------------------------------------------------------------------------------------------


def test_a_pyramid_halves_by_means_and_keeps_flat_pictures_flat() -> None:
    image = torch.rand(1, 1, 37, 50)
    tower = pyramid(image, 3)
    assert_close(tower.atlas[0, 0, 0, 0], image[0, 0, :2, :2].mean())
    x, y = (round(value) for value in tower.corners[1].tolist())
    assert_close(tower.atlas[0, 0, y, x], image[0, 0, :4, :4].mean())
    assert_close(tower.atlas[0, 0, 18, 24], image[0, 0, 36, 48:].mean())  # the last row stands alone
    assert tower.sizes[2].tolist() == [50 / 8, 37 / 8]
    grid = torch.stack(torch.meshgrid(torch.linspace(-0.6, 0.6, 9), torch.linspace(-0.6, 0.6, 5), indexing="xy"), -1)
    flat = look_up_smoothly(torch.ones(1, 1, 37, 50), torch.stack([grid, 0.3 * grid])[None], 3)
    assert_close(flat, torch.ones_like(flat))


def test_levels_follow_from_sizes_alone() -> None:
    assert [levels_for(size, (256, 256)) for size in ((200, 256), (257, 100), (1000, 1000), (4000, 10))] == [1, 2, 3, 3]


def test_shrinking_by_the_pyramid_is_close_to_the_mean_of_each_pixels_area() -> None:
    """Fine stripes of period 3 px shrunk 4 times become grey; without antialiasing they alias."""
    stripes = (torch.arange(256) % 3 == 0).float().expand(1, 1, 256, 256).contiguous()
    k = torch.tensor([[5000.0, 0, 128], [0, 5000, 128], [0, 0, 1]])
    center, size = torch.tensor([[128.0, 128.0]]), torch.tensor([[240.0, 240.0]])
    smooth, rough = (
        PerspectiveCrop(60, antialias=antialias)(stripes, k, center, size).image for antialias in (True, False)
    )
    assert (smooth - 1 / 3).abs().mean() < 0.12  # the mean of four pixels of a period of three is ¼ or ½
    assert (rough - 1 / 3).abs().mean() > 0.2


# ---- compiled and exported -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    ["traced", "compiled", "exported"],
)
@pytest.mark.slow
def test_compiled_without_a_break_and_exported_to_onnx_it_does_the_same(how: str) -> None:
    """In a process of its own: the checks of shapes that tests run with are no part of what can be compiled."""
    if how == "exported":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    script = Path(__file__).with_name("perspective_whole.py")
    done = subprocess.run([sys.executable, str(script), how], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "the same"


def keypoints_of_two() -> Tensor:
    centers, _ = boxes(2)
    return centers[:, None] + 40 * torch.rand(2, 17, 2, generator=torch.manual_seed(3)) - 20


# ---- keypoints -----------------------------------------------------------------------------------------------------


def test_keypoints_fill_the_unit_crop() -> None:
    keypoints = keypoints_of_two()
    view = PerspectiveKeypoints()(keypoints, K)
    assert_close(view.points[:, 0], torch.full((2, 2), 0.5))
    reach = (view.points.amax(1) - view.points.amin(1)).amax(-1)
    assert ((reach > 0.9) & (reach < 1.1)).all()
    assert_close(view.points, keypoints_in_virtual(K, view.virtual, keypoints))


def test_by_the_roots_distance_a_crop_spans_two_metres() -> None:
    """f_virt = ‖X_root‖ / 2 m, the same for every camera that looks from there."""
    root = torch.tensor([[1.2, -0.4, 3.0]])
    joints = root[:, None] + 0.3 * torch.randn(1, 17, 3, generator=torch.manual_seed(0))
    joints[:, 0] = root
    pixels = joints @ K.mT
    view = PerspectiveKeypoints(scale="3d_root")(pixels[..., :2] / pixels[..., 2:], K, root[:, 2])
    assert_close(view.virtual.intrinsics[0, 0, 0], root.norm() / 2)
    turned = joints @ view.virtual.cam_from_virtual
    assert_close(view.points, turned[..., :2] / turned[..., 2:] * root.norm() / 2 + 0.5)


@pytest.mark.parametrize("scale", ["2d", "3d_root"])
def test_a_person_looks_the_same_wherever_the_camera_is_turned(scale: str) -> None:
    """The point of it: two cameras at one place see the same points, up to roll, which turns beside the axes leave."""
    joints = torch.tensor([[0.0, 0.0, 4.0]]) + 0.4 * torch.randn(17, 3, generator=torch.manual_seed(4))
    joints[0] = torch.tensor([0.0, 0.0, 4.0])
    seen = []
    for angle in (0.0, 0.4, -0.7):
        turn = torch.tensor([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]])
        turned = joints @ turn.T
        pixels = turned @ K.T
        layer = PerspectiveKeypoints(scale=scale)  # type: ignore[arg-type]
        depth = None if scale == "2d" else turned[0, 2]
        view = layer(pixels[:, :2] / pixels[:, 2:], K, depth)
        seen.append((view.points - 0.5) / (view.points - 0.5).norm())
        assert_close(view.poses_in_camera(joints), turned, rtol=1e-4, atol=1e-4)
    for other in seen[1:]:
        assert_close(other, seen[0], rtol=1e-4, atol=1e-4)


def test_missing_keypoints_stay_missing_and_nobody_is_nan_in_gradients() -> None:
    keypoints = torch.rand(4, 17, 2, generator=torch.manual_seed(5)) * 100 + 50
    keypoints[0, 3] = torch.nan
    keypoints[1, 0] = torch.nan  # no root
    keypoints[2] = 70.0  # one spot
    keypoints[3] = torch.nan
    given = keypoints.clone().requires_grad_()
    view = PerspectiveKeypoints()(given, K)
    assert view.virtual.valid.tolist() == [True, False, False, False]
    assert view.points[0].isnan().any(-1).nonzero().flatten().tolist() == [3]
    assert view.points[1:].isnan().all()
    view.points.nan_to_num().square().sum().backward()
    assert given.grad is not None
    assert given.grad.isfinite().all()
    middle = PerspectiveKeypoints(root=None)(keypoints, K)
    assert middle.virtual.valid.tolist() == [True, True, False, False]


# ---- spatial transformers ------------------------------------------------------------------------------------------


class Fixed(nn.Module):
    """A localiser that always looks at one region."""

    def __init__(self, center: list[float], scale: list[float]) -> None:
        super().__init__()
        self.center, self.scale = nn.Parameter(torch.tensor([center])), nn.Parameter(torch.tensor([scale]))

    def forward(self, image: Tensor) -> Region:
        return Region(self.center.expand(len(image), 2), self.scale.expand(len(image), 2))


def test_on_the_axis_both_transformers_see_the_same() -> None:
    image, k = pictures(), torch.tensor([[1e5, 0, 150.0], [0, 1e5, 100.0], [0, 0, 1]])
    fixed = Fixed([0.1, -0.2], [0.2, 0.3])
    plain, _ = AffineSTN(fixed, (60, 60))(image)
    view, region = PerspectiveSTN(fixed, PerspectiveCrop((60, 60)))(image, k)
    assert_close(region.center_px(SIZE)[0], torch.tensor([165.0, 80.0]))
    assert_close(region.size_px(SIZE)[0], torch.tensor([60.0, 60.0]))
    assert_close(plain, view.image, rtol=0, atol=2e-3)


def test_a_transformer_learns_where_to_look() -> None:
    """From the crop alone: the bright spot is to be in its middle."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    image = torch.exp(-((columns - 44) ** 2 + (rows - 24) ** 2) / 300)[None, None]
    k = torch.tensor([[60.0, 0, 32], [0, 60, 32], [0, 0, 1]])
    fixed = Fixed([0.0, 0.0], [0.5, 0.5])
    transformer = PerspectiveSTN(fixed, PerspectiveCrop(16))
    weight = torch.exp(-((torch.arange(16) - 7.5) ** 2) / 20)
    optimizer = torch.optim.Adam([fixed.center], lr=0.02)
    for _ in range(120):
        optimizer.zero_grad()
        view, _ = transformer(image, k)
        (-(view.image[0, 0] * weight * weight[:, None]).sum()).backward()
        optimizer.step()
    assert_close(fixed.center.detach()[0], torch.tensor([44.5, 24.5]) / 32 - 1, rtol=0, atol=0.06)


def test_the_papers_localiser_begins_with_the_middle_half() -> None:
    torch.manual_seed(0)
    localizer = resnet18_localizer(64).eval()
    region = localizer(pictures())
    assert_close(region.center, torch.zeros(2, 2))
    assert_close(region.scale, torch.full((2, 2), 0.5))
    view, _ = PerspectiveSTN(localizer, PerspectiveCrop(32))(pictures(), K)
    view.image.sum().backward()
    assert localizer.network.fc.bias.grad.abs().sum() > 0  # type: ignore[union-attr]


# ---- perspective rotation and encoding -----------------------------------------------------------------------------


def test_perspective_rotation_centres_the_box_and_holds_its_corners() -> None:
    """Eq. 13–15: shortest arc to the axis; the crop is the smallest about the axis that holds the turned corners."""
    image, (centers, sizes) = pictures(), boxes(2)
    layer = PerspectiveRotation(64)
    view = layer(image, K, centers, sizes)
    corners = centers[:, None] + sizes[:, None] * torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    seen = keypoints_in_virtual(K, view.virtual, torch.cat([centers[:, None], corners], 1))
    assert_close(seen[:, 0], torch.full((2, 2), 32.0), rtol=0, atol=1e-3)
    reach = (seen[:, 1:] - 32).abs().flatten(1).amax(1)
    assert_close(reach, torch.full((2,), 32.0), rtol=0, atol=1e-2)
    ray = torch.cat([(centers - K[:2, 2]) / 200, torch.ones(2, 1)], 1)
    length = ray.norm(dim=1, keepdim=True)
    axis = torch.linalg.cross(ray, torch.tensor([[0.0, 0.0, 1.0]]).expand(2, 3))
    axis = axis / axis.norm(dim=1, keepdim=True)
    angle = torch.acos(ray[:, 2:] / length)
    x, y, z = axis.T
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(2, 3, 3)
    rodrigues = torch.eye(3) + angle.sin()[..., None] * cross + (1 - angle.cos())[..., None] * cross @ cross
    assert_close(view.virtual.cam_from_virtual.mT, rodrigues, rtol=0, atol=1e-5)
    assert_close(view.virtual.intrinsics[:, 0, 0], view.virtual.intrinsics[:, 1, 1])


def test_perspective_rotation_towards_another_pixel() -> None:
    """Training jitters the target: the box's middle comes to lie on the target's ray."""
    image, (centers, sizes) = pictures(), boxes(2)
    target = torch.tensor([[160.0, 90.0], [140.0, 105.0]])
    view = PerspectiveRotation(64)(image, K, centers, sizes, target)
    seen = keypoints_in_virtual(K, view.virtual, centers[:, None])[:, 0]
    focal = view.virtual.intrinsics[:, 0, 0]
    assert_close((seen - 32) / focal[:, None], (target - K[:2, 2]) / 200, rtol=0, atol=1e-4)


def test_a_box_on_the_axis_is_not_turned_and_one_beside_the_camera_is_not_seen() -> None:
    image = pictures()
    centers, sizes = torch.tensor([[150.0, 100.0], [150.0, 100.0]]), torch.tensor([[50.0, 50.0], [40.0, -1.0]])
    view = PerspectiveRotation(32)(image, K, centers, sizes)
    assert_close(view.virtual.cam_from_virtual[0], torch.eye(3))
    assert view.virtual.valid.tolist() == [True, False]
    wide = PerspectiveRotation(32).virtual_camera(K, torch.tensor([9000.0, 100.0]), torch.tensor([17990.0, 50.0]))
    assert not wide.valid


def test_perspective_encoding_is_the_tangent_of_each_cells_ray() -> None:
    k = torch.tensor([[100.0, 0, 30], [0, 120.0, 14], [0, 0, 1]])
    cells = encoding_map(k, (16, 8), stride=4.0)
    assert cells.shape == (2, 8, 16)
    assert_close(cells[:, 2, 5], torch.tensor([(22 - 30) / 100, (10 - 14) / 120]))
    torch.manual_seed(0)
    layer, features = PerspectiveEncoding(32, stride=4.0), torch.zeros(2, 32, 8, 16)
    added = layer(features, k, torch.tensor([True, False]))
    assert (added[0] != 0).any()
    assert (added[1] == 0).all()
    assert abs(layer.mix.weight.detach().std().item() - 0.01) < 0.003  # type: ignore[union-attr]
    assert_close(PerspectiveEncoding(stride=4.0)(features, k)[1], cells)
