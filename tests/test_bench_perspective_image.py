"""The image benchmark of perspective crops: equal terms for both crops, poses turned back, and errors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torch.testing import assert_close

import sightline.bench.perspective_image_pictures as pictures_file
import sightline.bench.perspective_image_runs as runs_file
from sightline.bench.perspective_image import (
    PCL,
    STN,
    SUBJECTS,
    VARIANTS,
)
from sightline.bench.perspective_image_networks import (
    Guess,
    ImageNetwork,
    Sizes,
    SmallResNet18,
    Variant,
    loss,
    mirrored,
)
from sightline.bench.perspective_image_pictures import Batch, Pictures, render_sets
from sightline.bench.perspective_image_runs import (
    Effort,
    Run,
    by_band,
    drawn_batch,
    errors,
    picture_sets,
    run_one,
    score,
    train,
)
from sightline.bench.perspective_image_scenes import Frames, Labelled, Subject, drawn, labelled
from sightline.camera import Camera
from sightline.geometry.rotation import is_rotation, look_rotation
from sightline.perspective.stn import Region
from sightline.perspective.virtual import turned_towards
from sightline.synth.poses import ProceduralPoses
from sightline.synth.render import render

POSES = ProceduralPoses()
SMALL = {subject: Frames(subject=subject, side_px=64, samples=1) for subject in SUBJECTS}
SIZES = Sizes(localizer_px=32, localizer_width=4, crop_px=32, pose_width=4)
TINY = Effort(train_pictures=6, test_pictures=5, steps=1, batch=3, side_px=48, sizes=SIZES)


def names(value: object) -> str:
    return value.name if isinstance(value, Variant) else str(value)


def stacked(found: Sequence[Labelled]) -> Batch:
    """What `Pictures.batch` makes of pictures."""
    labels = {
        name: torch.from_numpy(np.stack([getattr(one, name) for one in found])).float() for name in Labelled._fields
    }
    labels["image"] = labels["image"].permute(0, 3, 1, 2).contiguous() / 255
    return Batch(**labels)


@pytest.fixture(scope="module")
def batches() -> dict[str, Batch]:
    """A few rendered pictures of each subject."""
    return {subject: stacked([labelled(SMALL[subject], POSES, 5, index) for index in range(6)]) for subject in SUBJECTS}


# --- networks


@pytest.mark.parametrize("subject", SUBJECTS)
def test_both_networks_start_alike_with_equally_many_parameters(subject: Subject) -> None:
    states = []
    for variant in VARIANTS:
        torch.manual_seed(3)
        states.append(ImageNetwork(variant, subject, SIZES).state_dict())
    assert states[0].keys() == states[1].keys()
    for name in states[0]:
        assert torch.equal(states[0][name], states[1][name])
    wider = ImageNetwork(PCL, subject, replace(SIZES, pose_width=5)).parameters_count
    assert ImageNetwork(PCL, subject, SIZES).parameters_count == ImageNetwork(STN, subject, SIZES).parameters_count
    assert wider > ImageNetwork(PCL, subject, SIZES).parameters_count


def test_the_network_is_a_resnet_18_where_it_is_as_wide() -> None:
    from torchvision.models import resnet18

    ours, theirs = SmallResNet18(10, 64), resnet18(num_classes=10)
    sizes = [sorted(p.numel() for n, p in net.named_parameters() if not n.startswith("fc")) for net in (ours, theirs)]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("variant", VARIANTS, ids=names)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_shapes_of_answers_and_where_everybody_looks_first(
    subject: Subject, variant: Variant, batches: Mapping[str, Batch]
) -> None:
    batch = batches[subject]
    guess = ImageNetwork(variant, subject, SIZES)(batch.image, batch.intrinsics)
    assert guess.pose.shape == batch.pose.shape
    assert_close(guess.region, Region(torch.zeros(6, 2), torch.full((6, 2), 0.5)))
    if subject == "people":
        assert not guess.pose[:, 0].any()
    else:
        assert is_rotation(guess.pose).all()


def told(variant: Variant, subject: Subject, batch: Batch, said: Tensor) -> ImageNetwork:
    """A network whose localiser is right, and whose last layer says what it is to say."""
    network = ImageNetwork(variant, subject, SIZES).eval()
    network.guide.localizer.forward = lambda _: Region(batch.center, batch.scale)  # type: ignore[method-assign]
    numbers = said[:, 1:].flatten(1) if subject == "people" else said[:, :, :2].flatten(1)
    network.network.forward = lambda _: numbers  # type: ignore[method-assign]
    return network


@pytest.mark.parametrize("subject", SUBJECTS)
def test_what_is_right_in_the_virtual_cameras_frame_comes_back_right(
    subject: Subject, batches: Mapping[str, Batch]
) -> None:
    batch = batches[subject]
    cam_from_virtual, _ = turned_towards(batch.root_cam)
    in_virtual = batch.pose @ cam_from_virtual if subject == "people" else cam_from_virtual.mT @ batch.pose
    for variant, said in ((PCL, in_virtual), (STN, batch.pose)):
        guess = told(variant, subject, batch, said)(batch.image, batch.intrinsics)
        assert_close(guess.pose, batch.pose, rtol=0, atol=1e-5)
        assert float(loss(guess, batch)) < 1e-9
    wrong = told(PCL, subject, batch, batch.pose)(batch.image, batch.intrinsics)
    off = errors(wrong, batch, subject)["error"]
    if subject == "object":
        assert_close(off, batch.eccentricity_deg, rtol=0, atol=7), "without turning back it is off by about the angle"
    assert off.min() > (20 if subject == "people" else 5)


def test_a_perspective_crop_of_a_turned_camera_shows_the_same_person_in_the_same_pose() -> None:
    """A level camera that turns to the side: the virtual camera stays where it was, and so do its picture and pose."""
    frames = replace(SMALL["people"], side_px=256, samples=2)
    scene, _, _ = drawn(frames, POSES, 12, 1)
    joints_world = torch.from_numpy(scene.actors[0].landmarks_world).double()
    crops, poses = {}, {}
    for side in (-1, 1):
        camera = level(scene.camera, joints_world[0], math.radians(side * 32))
        root_cam = camera.world_to_camera(joints_world[0])
        pixel, _ = camera.project(root_cam)
        image = torch.from_numpy(render(replace(scene, camera=camera), 2).image).permute(2, 0, 1)[None] / 255
        region = Region((pixel / 128 - 1)[None].float(), torch.full((1, 2), 0.28))
        for variant in VARIANTS:
            network = ImageNetwork(variant, "people", replace(SIZES, crop_px=48))
            network.guide.localizer.forward = lambda _, region=region: region  # type: ignore[method-assign]
            if variant is PCL:
                view, _ = network.stn(image, camera.intrinsics.float())
                turn = view.virtual.cam_from_virtual[0].double()
                crops[variant.name, side] = view.image
            else:
                turn, crops[variant.name, side] = torch.eye(3).double(), network.stn(image)[0]
            relative = camera.world_to_camera(joints_world) - root_cam
            poses[variant.name, side] = relative @ turn
    coarse = {key: avg_pool2d(crop[..., 6:-6], 6) for key, crop in crops.items()}  # without the picture's border
    apart = {v.name: float((coarse[v.name, 1] - coarse[v.name, -1]).abs().mean()) for v in VARIANTS}
    assert apart[PCL.name] < 0.5 * apart[STN.name]
    assert_close(poses[PCL.name, 1], poses[PCL.name, -1], rtol=0, atol=1e-5)
    assert (poses[STN.name, 1] - poses[STN.name, -1]).norm(dim=-1).max() > 0.3


def level(camera: Camera, point_world: Tensor, aside: float) -> Camera:
    """The camera without pitch, at the height of the point, turned so far to the side of it."""
    place = torch.cat([camera.position_world[:2], point_world[2:]])
    way = point_world - place
    heading = math.atan2(float(way[1]), float(way[0])) + aside
    ahead = torch.tensor([math.cos(heading), math.sin(heading), 0.0]).double()
    rotation = look_rotation(ahead, torch.tensor([0.0, 0.0, 1.0]).double())
    return replace(camera, rotation=rotation, translation_m=-rotation @ place)


def test_the_loss_adds_mean_squares_of_place_size_and_pose(batches: Mapping[str, Batch]) -> None:
    batch = batches["people"]
    right = Guess(Region(batch.center, batch.scale), batch.pose)
    assert float(loss(right, batch)) == 0
    assert float(loss(right._replace(pose=batch.pose + 0.2), batch)) == pytest.approx(0.04)
    place = Region(batch.center + 0.3, batch.scale)
    assert float(loss(right._replace(region=place), batch)) == pytest.approx(0.09)
    both = Region(batch.center + 0.3, batch.scale + torch.tensor([0.1, 0.0]))
    assert float(loss(right._replace(region=both), batch)) == pytest.approx(0.095)


def test_the_localiser_learns_from_its_own_errors_alone(batches: Mapping[str, Batch]) -> None:
    batch = batches["object"]
    for variant in VARIANTS:
        network = ImageNetwork(variant, "object", SIZES)
        head = network.guide.localizer.network.fc
        guess = network(batch.image, batch.intrinsics)
        (guess.pose * torch.rand(6, 3, 3)).sum().backward()
        assert head.bias.grad is None
        assert all(parameter.grad is not None for parameter in network.network.parameters())
        guess = network(batch.image, batch.intrinsics)
        loss(guess, batch).backward()
        assert head.bias.grad is not None
        center = 2 * (guess.region.center - batch.center).mean(0) / 2
        assert_close(head.bias.grad[:2], center.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS, ids=names)
def test_crops_may_be_put_where_they_belong_while_the_localiser_learns_alone(
    variant: Variant, batches: Mapping[str, Batch]
) -> None:
    batch = batches["people"]
    network, told = ImageNetwork(variant, "people", SIZES).eval(), Region(batch.center, batch.scale)
    guess = network(batch.image, batch.intrinsics, told)
    assert_close(guess.region, Region(torch.zeros(6, 2), torch.full((6, 2), 0.5)))
    elsewhere = network(batch.image, batch.intrinsics)
    assert not torch.equal(elsewhere.pose, guess.pose), "told once is not told for good"
    network.guide.localizer.forward = lambda _: told  # type: ignore[method-assign]
    assert torch.equal(network(batch.image, batch.intrinsics).pose, guess.pose)


def test_crops_are_guided_in_the_first_steps_alone(
    batches: Mapping[str, Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    forward = ImageNetwork.forward

    def watched(self: ImageNetwork, image: Tensor, intrinsics: Tensor, region: Region | None = None) -> Guess:
        told.append(region is not None)
        return forward(self, image, intrinsics, region)

    monkeypatch.setattr(ImageNetwork, "forward", watched)
    run, shown = Run(subject="object", variant=PCL, seed=0), Shown(batches["object"])
    train(run, replace(TINY, steps=4, guided_share=0.75), shown)
    assert told == [True, True, True, False]


def test_a_mirror_keeps_picture_camera_and_truth_together(batches: Mapping[str, Batch]) -> None:
    batch = batches["people"]._replace(intrinsics=batches["people"].intrinsics.clone())
    batch.intrinsics[:, 0, 2] += 3.0
    chosen = torch.tensor([True, False] * 3)
    found = mirrored(batch, chosen)
    for mine, its, twice in zip(batch, found, mirrored(found, chosen), strict=True):
        assert torch.equal(mine[1::2], its[1::2])
        assert not torch.equal(mine[::2], its[::2]) or mine is batch.scale
        assert_close(twice, mine)
    image = found.root_cam[:, None] @ found.intrinsics.mT
    before = batch.root_cam[:, None] @ batch.intrinsics.mT
    x, x_before = (value[::2, 0, 0] / value[::2, 0, 2] for value in (image, before))
    assert_close(x, 64 - x_before)
    assert torch.equal(found.image[0, :, :, 5], batch.image[0, :, :, 58])
    assert_close(found.pose[0, 4], batch.pose[0, 1] * torch.tensor([-1.0, 1.0, 1.0])), "left hip from right hip"


# --- scores


def test_errors_are_in_millimetres_degrees_and_pixels(batches: Mapping[str, Batch]) -> None:
    people, thing = batches["people"], batches["object"]
    right = Guess(Region(people.center, people.scale), people.pose)
    moved = people.pose.clone()
    moved[:, 1:, 0] += 0.1
    off = Guess(Region(people.center + torch.tensor([0.3, 0.4]), 1.1 * people.scale), moved)
    found = errors(off, people, "people")
    assert_close(found["error"], torch.full((6,), 100.0))
    assert_close(found["center_px"], torch.full((6,), 16.0))
    assert_close(found["scale_percent"], torch.full((6,), 10.0))
    assert errors(right, people, "people")["error"].max() < 1e-3
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, math.radians(30), 0.0]))
    turned = Guess(Region(thing.center, thing.scale), turn @ thing.pose)
    assert_close(errors(turned, thing, "object")["error"], torch.full((6,), 30.0))


def test_bands_are_of_the_angle_off_the_axis() -> None:
    found = by_band(torch.tensor([1.0, 3.0, 5.0, 8.0]), torch.tensor([0.0, 19.9, 20.0, 34.9]))
    assert found == {"error_centre": 2, "error_middle": 6.5}
    root = torch.tensor([[1.0, 0.0, 1.0], [0.0, -1.0, 3.0**0.5], [0.0, 0.0, 2.0]])
    batch = Batch(*(torch.zeros(3) for _ in range(4)), root_cam=root, pose=torch.zeros(3))
    assert_close(batch.eccentricity_deg, torch.tensor([45.0, 30.0, 0.0]))


def test_scores_are_means_over_all_pictures_whatever_the_batches(
    batches: Mapping[str, Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batches["object"]
    network = told(STN, "object", batch, batch.pose).eval()
    turn = roma.rotvec_to_rotmat(torch.tensor([math.radians(1), 0.0, 0.0]))
    powers = torch.stack([torch.linalg.matrix_power(turn, power) for power in range(6)])

    def guessed(image: Tensor, _: Tensor) -> Guess:
        picked = [int((batch.image == one).flatten(1).all(1).nonzero()[0, 0]) for one in image]
        return Guess(Region(batch.center[picked], batch.scale[picked]), (powers @ batch.pose)[picked])

    monkeypatch.setattr(network, "forward", guessed)
    for size in (1, 4, 6):
        found = score(network, Shown(batch), size)
        assert found["error"] == pytest.approx(2.5, abs=1e-3)
        assert found["center_px"] == 0


class Shown(Pictures):
    """Pictures that lie in memory, read as those on the disk are."""

    def __init__(self, batch: Batch) -> None:
        self.all = batch

    def __len__(self) -> int:
        return len(self.all.image)

    def batch(self, rows: Sequence[int]) -> Batch:
        return Batch(*(value[list(rows)] for value in self.all))


# --- trainings


@pytest.mark.parametrize("subject", SUBJECTS)
def test_all_variants_of_a_seed_see_the_same_pictures(subject: Subject, batches: Mapping[str, Batch]) -> None:
    shown = Shown(batches[subject])
    effort = replace(TINY, batch=8)
    one, other = (drawn_batch(Run(subject=subject, variant=v, seed=4), effort, shown, 3) for v in VARIANTS)
    for mine, its in zip(one, other, strict=True):
        assert torch.equal(mine, its)
    for seed, step in ((5, 3), (4, 2)):
        differing = drawn_batch(Run(subject=subject, variant=PCL, seed=seed), effort, shown, step)
        assert not torch.equal(differing.image, one.image)


def test_both_crops_are_put_by_the_same_localiser(batches: Mapping[str, Batch]) -> None:
    """What differs between the trained variants is what the crop made of the same places."""
    shown, effort = Shown(batches["object"]), replace(TINY, steps=4)
    first, second = (train(Run(subject="object", variant=v, seed=2), effort, shown) for v in VARIANTS)
    assert_close(first.guide.state_dict(), second.guide.state_dict(), rtol=0, atol=0)
    assert not torch.equal(first.network.fc.weight, second.network.fc.weight)
    other = train(Run(subject="object", variant=PCL, seed=3), effort, shown)
    assert not torch.equal(first.guide.localizer.network.fc.weight, other.guide.localizer.network.fc.weight)


def test_a_finished_training_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures_file, "in_processes", lambda work, calls, **_: [work(*call) for call in calls])
    run, folder = Run(subject="object", variant=PCL, seed=0), tmp_path / "pictures"
    render_sets(list(picture_sets("object", TINY, None).values()), folder, jobs=1)
    first = run_one(run, TINY, None, folder, tmp_path)
    monkeypatch.setattr(runs_file, "train", lambda *_: pytest.fail("trained again"))
    again = run_one(run, TINY, None, folder, tmp_path)
    assert again.pop("from_cache") is True
    assert again == json.loads(json.dumps(first))
    for other in (replace(run, seed=1), replace(run, variant=STN)):
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            run_one(other, TINY, None, folder, tmp_path)
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        run_one(run, replace(TINY, steps=2), None, folder, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=names)
def test_training_helps(variant: Variant, batches: Mapping[str, Batch]) -> None:
    shown = Shown(batches["object"])
    effort = Effort(batch=6, sizes=replace(SIZES, localizer_width=8, pose_width=8))
    run = Run(subject="object", variant=variant, seed=0)
    before, after = (score(train(run, replace(effort, steps=steps), shown), shown, 6) for steps in (1, 150))
    assert after["center_px"] < 0.5 * before["center_px"]
    assert after["error"] < 0.5 * before["error"]
