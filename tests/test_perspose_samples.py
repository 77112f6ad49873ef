"""People of pictures become crops with their truth; augmentation moves all of it together."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.geometry.rotation import rotation_from_pitch_roll
from sightline.gravity import Tilt, placed_by
from sightline.landmarks import ALL_LANDMARKS
from sightline.methods.perspose.augment import NO_AUGMENTATION, AugmentConfig, drawn_nudges, spoiled
from sightline.methods.perspose.crops import Nudge
from sightline.methods.perspose.geometry import xyz_from_uvd
from sightline.methods.perspose.model import Answers, PersPoseConfig
from sightline.methods.perspose.samples import CropConfig, Person, Samples, collated, sample, samples
from sightline.methods.perspose.sides import swapped

SIZE = (320, 240)
CAMERA = Camera.create(SIZE, 260.0, (150.0, 130.0))
NETWORK = PersPoseConfig(size_px=128, shape_numbers=6)
ROWS = [ALL_LANDMARKS.index(name) for name in NETWORK.landmarks]
NUDGE = Nudge(torch.tensor([0.4]).double(), torch.tensor([0.8]).double(), torch.tensor([[0.06, -0.03]]).double())


def somebody(camera: Camera = CAMERA, x: float = 0.9, seed: int = 0) -> tuple[np.ndarray, Person]:
    """A person before a camera, and a picture that is black but for a bright spot at each landmark of the network."""
    rng = np.random.default_rng(seed)
    points = np.array([x, 0.1, 3.0]) + 0.35 * rng.uniform(-1, 1, (len(ALL_LANDMARKS), 3))
    px = camera.project(torch.from_numpy(points))[0].numpy()
    width, height = SIZE
    y_grid, x_grid = np.mgrid[:height, :width] + 0.5
    bright = np.zeros((height, width))
    for place in px[ROWS]:
        bright = np.maximum(bright, np.exp(-((x_grid - place[0]) ** 2 + (y_grid - place[1]) ** 2) / (2 * 1.5**2)))
    person = Person(
        box_px=np.concatenate([px.min(0), px.max(0)]),
        camera=camera,
        landmarks_cam=points,
        stature_m=1.6,
        shape=rng.random(6),
        twists_cam=rng.standard_normal((24, 3)),
        leaf_rotations=np.tile(np.eye(3), (5, 1, 1)),
    )
    return np.repeat((255 * bright)[..., None], 3, -1).astype(np.uint8), person


def rng_pixels(person: Person) -> np.ndarray:
    """Pixels within somebody's box for all landmarks."""
    left, top, right, bottom = person.box_px
    return np.random.default_rng(9).uniform((left, top), (right, bottom), (len(ALL_LANDMARKS), 2))


def right_answers(samples: Samples) -> Answers:
    truth = samples.truth
    return Answers(truth.uv_px, truth.depth_m, truth.scale_m_px, truth.shape, truth.twists, truth.leaf_rotations)


@pytest.mark.parametrize("rotation", [False, True])
@pytest.mark.parametrize("nudge", [None, NUDGE])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_truth_is_where_the_crop_shows_it(rotation: bool, nudge: Nudge | None, mirrored: bool) -> None:
    """Spots of the picture lie at the truth's pixels, in turned, rolled, zoomed and mirrored crops."""
    image, person = somebody()
    one = sample(image, person, replace(NETWORK, rotation=rotation), nudge, mirrored=mirrored)
    uv = one.truth.uv_px[0]
    inside = ((uv > 4) & (uv < 124)).all(-1)
    assert inside.sum() > 12
    grid = (2 * uv[inside] / 128 - 1)[None, None]
    light = torch.nn.functional.grid_sample(one.crops, grid, align_corners=False)[0, 0, 0]
    assert light.min() > 0.6
    assert one.crops.mean() < 0.3


@pytest.mark.parametrize("flat", [False, True])
def test_plain_crops_move_with_their_truth(flat: bool) -> None:
    """By the paper's 4 px of 256 to the right and 3 px up, whether truth is known in 3D or in pixels."""
    image, person = somebody()
    if flat:
        person = Person(box_px=person.box_px, landmarks_px=rng_pixels(person))
    network = CropConfig(size_px=256, landmarks=NETWORK.landmarks)
    target = torch.tensor([[4 / 256, -3 / 256]]).double()
    still = sample(image, person, network)
    moved = sample(image, person, network, Nudge(torch.zeros(1).double(), torch.ones(1).double(), target))
    assert_close(moved.truth.uv_px, still.truth.uv_px + torch.tensor([4.0, -3.0]), atol=1e-4, rtol=0)
    assert_close(moved.crops[..., :-3, 4:], still.crops[..., 3:, :-4], atol=1e-4, rtol=0)
    assert float(still.crops.std()) > 0.05


@pytest.mark.parametrize("mirrored", [False, True])
def test_right_answers_are_the_pose_in_the_camera(mirrored: bool) -> None:
    image, person = somebody()
    one = sample(image, person, NETWORK, NUDGE, mirrored=mirrored)
    joints = right_answers(one).joints_in_camera(one.views)[0]
    assert person.landmarks_cam is not None
    true = torch.from_numpy(person.landmarks_cam[ROWS]).float()
    if mirrored:
        true = (true * torch.tensor([-1.0, 1.0, 1.0]))[list(swapped(NETWORK.landmarks))]
    assert_close(joints, true, atol=2e-5, rtol=0)
    assert float(one.truth.stature_m) == pytest.approx(1.6)
    assert one.known.all()


def test_twists_are_turned_with_the_crop() -> None:
    image, person = somebody()
    one = sample(image, person, NETWORK, NUDGE)
    assert person.twists_cam is not None
    back = one.truth.twists @ one.views.cam_from_virtual.mT
    assert_close(back[0], torch.from_numpy(person.twists_cam).float(), atol=1e-5, rtol=0)
    assert_close(one.truth.leaf_rotations[0], torch.eye(3).expand(5, 3, 3))


def test_a_mirrored_sample_is_the_sample_of_the_mirrored_picture() -> None:
    image, person = somebody()
    one = sample(image, person, NETWORK, mirrored=True)
    assert person.landmarks_cam is not None
    swap = list(swapped(ALL_LANDMARKS))
    points = (person.landmarks_cam * [-1.0, 1.0, 1.0])[swap]
    left, top, right, bottom = person.box_px
    other = replace(
        person, camera=CAMERA.flipped(), landmarks_cam=points, box_px=np.array([320 - right, top, 320 - left, bottom])
    )
    two = sample(np.ascontiguousarray(image[:, ::-1]), other, NETWORK)
    assert_close(one.crops, two.crops, atol=2e-5, rtol=0)
    assert_close(one.views.intrinsics, two.views.intrinsics)
    assert_close(one.views.cam_from_virtual, two.views.cam_from_virtual)
    assert_close(one.truth.uv_px, two.truth.uv_px, atol=2e-4, rtol=0)
    assert_close(one.truth.depth_m, two.truth.depth_m)


@pytest.mark.parametrize("rotation", [False, True])
@pytest.mark.parametrize("mirrored", [False, True])
def test_up_is_where_a_higher_point_lies(rotation: bool, mirrored: bool) -> None:
    """Of two landmarks above each other in the world the higher one lies along it, in the crop's frame."""
    turn = rotation_from_pitch_roll(torch.tensor(-0.4).double(), torch.tensor(0.1).double())
    level = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
    camera = replace(CAMERA, rotation=turn @ level, translation_m=torch.zeros(3, dtype=torch.float64))
    image, person = somebody(camera)
    assert person.landmarks_cam is not None
    rows = [ALL_LANDMARKS.index(name) for name in ("Hip", "Spine")]
    points = person.landmarks_cam.copy()
    points[rows[1]] = points[rows[0]] + 0.5 * camera.rotation[:, 2].numpy()  # pyright: ignore[reportOptionalSubscript]
    kind = CropConfig(size_px=128, landmarks=("Hip", "Spine"), rotation=rotation)
    one = sample(image, replace(person, landmarks_cam=points), kind, NUDGE, mirrored=mirrored)
    low, high = xyz_from_uvd(one.truth.uv_px, one.truth.depth_m, one.truth.scale_m_px, one.views.intrinsics)[0]
    assert_close((high - low) / 0.5, one.up[0], atol=2e-4, rtol=0)
    assert one.truth.shape.shape == (1, 0)


@pytest.mark.parametrize("rotation", [False, True])
def test_without_a_world_cameras_are_level(rotation: bool) -> None:
    """The crop's own turn is known all the same."""
    image, person = somebody()
    network = replace(NETWORK, rotation=rotation)
    one, other = (sample(image, each, network) for each in (person, replace(person, camera=placed_by(CAMERA, Tilt()))))
    assert_close(one.up, other.up)
    assert torch.allclose(one.up, torch.tensor([[0.0, -1.0, 0.0]]), atol=1e-3) == (not rotation)


def test_a_lens_is_taken_off() -> None:
    camera = Camera.create(SIZE, 260.0, (150.0, 130.0), distortion=Distortion.create("brown_conrady", [-0.2]))
    image, person = somebody(camera)
    one = sample(image, person, NETWORK)
    uv = one.truth.uv_px[0]
    inside = ((uv > 4) & (uv < 124)).all(-1)
    light = torch.nn.functional.grid_sample(one.crops, (2 * uv[inside] / 128 - 1)[None, None], align_corners=False)
    assert light.min() > 0.55


def test_without_camera_only_pixels_are_known() -> None:
    image, person = somebody()
    px = CAMERA.project(torch.from_numpy(np.asarray(person.landmarks_cam)))[0].numpy()
    px[ROWS[3]] = np.nan
    flat = Person(box_px=person.box_px, landmarks_px=px, coarse=True)
    for rotation in (False, True):
        one = sample(image, flat, replace(NETWORK, rotation=rotation))
        assert not one.known.any()
        truth = one.truth
        assert truth.depth_m.isnan().all()
        assert truth.scale_m_px.isnan().all()
        assert truth.twists.isnan().all()
        assert truth.uv_px[0].isnan().any(-1).nonzero().tolist() == [[3]]
        assert truth.coarse.all()
        seen = truth.uv_px[0][~truth.uv_px[0].isnan().any(-1)]
        light = torch.nn.functional.grid_sample(one.crops, (2 * seen / 128 - 1)[None, None], align_corners=False)
        inside = ((seen > 4) & (seen < 124)).all(-1)
        assert light[0, 0, 0][inside].min() > 0.6


def test_no_box_no_crop_no_truth() -> None:
    image, person = somebody()
    one = sample(image, replace(person, box_px=np.array([10.0, 10.0, 10.0, 40.0])), NETWORK)
    assert not one.views.valid.any()
    assert one.truth.uv_px.isnan().all()
    assert one.truth.shape.isnan().all()
    assert not one.crops.any()


def test_people_are_checked() -> None:
    with pytest.raises(ValueError, match="landmarks_px: expected"):
        Person(box_px=np.zeros(4), landmarks_px=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="expected the camera"):
        Person(box_px=np.zeros(4), landmarks_cam=np.zeros((len(ALL_LANDMARKS), 3)))
    with pytest.raises(ValueError, match="twists_cam: expected the camera"):
        Person(box_px=np.zeros(4), twists_cam=np.zeros((24, 3)))
    image, person = somebody()
    with pytest.raises(ValueError, match="shape: expected 11 numbers, got 6"):
        sample(image, person, replace(NETWORK, shape_numbers=11))
    with pytest.raises(ValueError, match="at least one"):
        collated([])


def test_pictures_that_nobody_may_write_to_are_read() -> None:
    """As memory maps are; without a warning, which would be an error here."""
    picture, person = somebody()
    locked = picture.copy()
    locked.flags.writeable = False
    kind = CropConfig(size_px=64, landmarks=("Hip", "Spine"))
    assert torch.equal(samples([(locked, person)], kind).crops, samples([(picture, person)], kind).crops)


def test_samples_join() -> None:
    parts = [sample(*somebody(seed=seed), NETWORK) for seed in range(3)]
    whole = collated(parts)
    assert whole.crops.shape == (3, 3, 128, 128)
    assert_close(whole.truth.uv_px[1:2], parts[1].truth.uv_px)
    assert_close(whole.views.intrinsics[2:], parts[2].views.intrinsics)


@pytest.mark.parametrize("rotation", [False, True])
@pytest.mark.parametrize("augmented", [False, True])
def test_a_batch_of_all_kinds_equals_its_people_one_by_one(rotation: bool, augmented: bool) -> None:
    """Pinholes and lenses, two sizes of pictures, no camera, no 3D, no crop: each as it would be alone, in order."""
    network = replace(NETWORK, rotation=rotation)
    image, person = somebody(seed=1)
    pixels = rng_pixels(person)
    lens = Camera.create(SIZE, 260.0, (150.0, 130.0), distortion=Distortion.create("brown_conrady", [0.1, -0.05]))
    people = [
        (image, person),
        somebody(lens, seed=2),
        (image[:200], replace(person, camera=CAMERA.cropped((0, 0), (320, 200)))),
        (image, Person(box_px=person.box_px, landmarks_px=pixels)),
        somebody(seed=3, x=-0.4),
        (image, Person(box_px=person.box_px, landmarks_px=pixels, camera=CAMERA, coarse=True)),
        (image, replace(person, box_px=np.full(4, 20.0))),
        somebody(lens, seed=4),
    ]
    nudge, mirrored = drawn_nudges(AugmentConfig(), len(people), torch.Generator().manual_seed(3))
    assert 0 < sum(mirrored) < len(people)
    whole = samples(people, network, nudge, mirrored=mirrored) if augmented else samples(people, network)
    assert whole.views.valid.tolist() == [True] * 6 + [False, True]
    for row, (its_image, its) in enumerate(people):
        own = Nudge(*(part[row : row + 1] for part in nudge)) if augmented else None
        alone = sample(its_image, its, network, own, mirrored=augmented and mirrored[row])
        found = Samples(
            whole.crops[row : row + 1],
            type(whole.views)(*(part[row : row + 1] for part in whole.views)),
            whole.known[row : row + 1],
            type(whole.truth)(*(part[row : row + 1] for part in whole.truth)),
            whole.up[row : row + 1],
        )
        assert_close(found, alone, equal_nan=True)


def test_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="people: expected at least one"):
        samples([], NETWORK)


# ------------------------------------------------------------------------------------------------------- augmentation


def test_chance_is_the_generators_alone() -> None:
    config = AugmentConfig()
    crops = torch.rand(4, 3, 32, 32)
    one, two = (spoiled(crops, config, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, spoiled(crops, config, torch.Generator().manual_seed(6)))
    assert one.min() >= 0
    assert one.max() <= 1
    assert torch.equal(spoiled(crops, NO_AUGMENTATION, torch.Generator().manual_seed(5)), crops)


def test_nudges_stay_in_their_ranges() -> None:
    config, generator = AugmentConfig(), torch.Generator().manual_seed(1)
    nudge, mirrored = drawn_nudges(config, 400, generator)
    assert nudge.roll_rad.abs().max() <= math.radians(30)
    assert 0.3 < (nudge.roll_rad == 0).double().mean() < 0.5
    assert nudge.zoom.min() > 0.7
    assert nudge.zoom.max() < 1.1
    assert nudge.target.abs().max() <= 0.1
    assert 0.4 < np.mean(mirrored) < 0.6
    still, mirrored = drawn_nudges(NO_AUGMENTATION, 1, generator)
    assert mirrored == [False]
    assert [float(still.roll_rad), float(still.zoom), still.target.abs().sum().item()] == [0.0, 1.0, 0.0]


def test_pieces_are_covered_up_to_their_largest_side() -> None:
    config = replace(NO_AUGMENTATION, cut_out=0.4, cut_out_share=1.0)
    crops = torch.full((60, 3, 50, 50), 2.0).clamp(max=1.0)
    covered = (spoiled(crops, config, torch.Generator().manual_seed(2)) != crops).any(1)
    rows, columns = covered.any(2).sum(1), covered.any(1).sum(1)
    assert rows.max() <= 20
    assert columns.max() <= 20
    assert (rows > 0).all()
    assert rows.max() > 15


def test_blur_keeps_the_mean_and_takes_contrast() -> None:
    config = replace(NO_AUGMENTATION, blur_px=3.0)
    crops = torch.rand(30, 3, 40, 40)
    seen = spoiled(crops, config, torch.Generator().manual_seed(3))
    changed = (seen != crops).flatten(1).any(1)
    assert 3 < changed.sum() < 20
    assert_close(seen.mean((1, 2, 3)), crops.mean((1, 2, 3)), atol=0.02, rtol=0)
    assert (seen[changed].std((2, 3)) < crops[changed].std((2, 3))).all()


@pytest.mark.parametrize(
    "wrong", [{"cut_out": 1.5}, {"zoom": (1.2, 1.1)}, {"zoom": (0.0, 1.0)}, {"noise": -1.0}, {"colour": 1.0}]
)
def test_wrong_augmentation_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        AugmentConfig(**wrong)  # pyright: ignore[reportArgumentType]
