"""The second opinion on exact keypoints: it counts where its pose covers what was seen, and only there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sightline.data.detected import DetectionConfig, detect_views
from sightline.data.people import PeopleConfig
from sightline.data.procedural import procedural_poses
from sightline.data.virtual import CameraConfig, ViewBatch, sample_views, step_generator
from sightline.errors import InputError
from sightline.formats.weights import write_weights
from sightline.methods.abspose.exact import check_partner, second_opinion
from sightline.methods.abspose.model import AbsPoseConfig, AbsPoseLifter, Lifted
from sightline.methods.abspose.partial import Detected, PartialConfig, PartialLifted, PartialLifter, truth_of
from sightline.methods.abspose.partial_decode import locate
from sightline.methods.abspose.weights import load_lifter, partner_of
from sightline.pipeline import Lifter
from sightline.training.config import config_to_json
from tiny_lifters import KINDS, trained

POSES = procedural_poses(200, step_generator(1, 0))
SMALL = PartialConfig(width=48, blocks=1)


class Perfect(AbsPoseLifter):
    """Knows the answer for some people and their mirror images, and how far it should be wrong."""

    def __init__(self, views: ViewBatch, wrong: Tensor | None = None) -> None:
        super().__init__(KINDS["stature"])
        relative = (views.joints_cam - views.joints_cam[:, :1]) / views.stature_m[:, None, None]
        relative = relative if wrong is None else relative + wrong
        self.answer = Lifted(relative, views.joints_cam[:, 0, 2] / views.stature_m)

    def forward(self, points: Tensor) -> Lifted:
        """The answer, and that of the mirror."""
        from sightline.skeleton import get_skeleton

        relative, depth = self.answer
        assert len(points) == 2 * len(depth)
        mirrored = relative[:, list(get_skeleton("h36m17").flip)] * relative.new_tensor([-1.0, 1.0, 1.0])
        return Lifted(torch.cat([relative, mirrored]), torch.cat([depth, depth]))


def people(count: int = 64, **detections: object) -> tuple[ViewBatch, Detected, PartialLifted]:
    views = sample_views(POSES, count, step_generator(2, 0), PeopleConfig(), CameraConfig())
    config = DetectionConfig(**detections)  # type: ignore[arg-type]
    detected = Detected(*detect_views(views, step_generator(3, 0), config))
    torch.manual_seed(0)
    with torch.no_grad():
        return views, detected, PartialLifter(SMALL).eval()(detected)


def test_an_answer_that_covers_the_keypoints_takes_over() -> None:
    views, detected, lifted = people()
    mixed = second_opinion(lifted, detected, Perfect(views))
    relative, root = truth_of(views.joints_cam, views.stature_m, lifted)
    assert mixed.exactness.min() > 0.99
    torch.testing.assert_close(mixed.relative, relative, atol=0.02, rtol=0.0)
    torch.testing.assert_close(mixed.root, root, atol=0.05, rtol=0.0)
    torch.testing.assert_close(mixed.spread, lifted.spread)


def test_an_answer_beside_the_keypoints_counts_for_nothing() -> None:
    views, detected, lifted = people()
    off = 0.1 * torch.randn(64, 17, 3, generator=step_generator(4, 0))
    off[:, 0] = 0.0
    mixed = second_opinion(lifted, detected, Perfect(views, off))
    assert mixed.exactness.max() < 0.05
    torch.testing.assert_close(mixed.relative, lifted.relative, atol=0.1, rtol=0.0)


def test_noise_takes_the_trust_away() -> None:
    shares = []
    for noise in (0.5, 3.0, 8.0):
        views, detected, lifted = people(clean_share=0.0, noise_px=(noise, noise + 0.01), outlier_share=0.0)
        shares.append(second_opinion(lifted, detected, Perfect(views)).exactness.mean().item())
    assert shares[0] > 0.9
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.1


def test_joints_that_were_not_seen_come_from_the_first_answer() -> None:
    """What lies where they were not seen changes nothing."""
    views, detected, lifted = people(missing_share=1.0, missing_exactly=0.3)
    trained_partner = trained(KINDS["stature"], steps=5)
    noise = torch.where(detected.seen[..., None], 0.0, 3.0)
    with torch.no_grad():
        one = second_opinion(lifted, detected, trained_partner)
        two = second_opinion(lifted, detected._replace(rays=detected.rays + noise), trained_partner)
    for here, there in zip(one, two, strict=True):
        torch.testing.assert_close(here, there)
    del views


def test_an_answer_behind_the_camera_counts_for_nothing() -> None:
    views, detected, lifted = people(8)
    behind = Perfect(views)
    behind.answer = Lifted(behind.answer.relative, -behind.answer.depth)
    mixed = second_opinion(lifted, detected, behind)
    assert mixed.exactness.eq(0).all()
    for here, there in zip(mixed, lifted, strict=True):
        torch.testing.assert_close(here, there)


def test_half_widths_of_exact_keypoints_have_their_own_factors() -> None:
    views, detected, lifted = people()
    config = replace(
        SMALL,
        exact_relative_factors=(0.5,) * 3,
        exact_root_factors=(0.5,) * 3,
        exact_located_factors=(0.5,) * 3,
        located_factors=(3.0,) * 3,
    )
    plain = locate(lifted._replace(exactness=torch.ones(64)), detected, SMALL, views.stature_m).sigma_m
    exact = locate(lifted._replace(exactness=torch.ones(64)), detected, config, views.stature_m).sigma_m
    other = locate(lifted, detected, config, views.stature_m).sigma_m
    torch.testing.assert_close(exact, 0.25 * plain)
    torch.testing.assert_close(other, 3.0 * plain)


@pytest.mark.parametrize("config", [KINDS["metre"], replace(KINDS["stature"], joints=16)])
def test_a_partner_that_thinks_otherwise_is_refused(config: AbsPoseConfig) -> None:
    with pytest.raises(ValueError, match="17 joints in rays and statures"):
        check_partner(AbsPoseLifter(config))


def written(folder: Path, name: str, network: torch.nn.Module, method: str, config: object) -> Path:
    facts = {"licence": "CC0", "trained_on": "nothing", "recipe": {}, "expected": {}, "command": "", "date": ""}
    write_weights(
        network.state_dict(), folder, name=name, method=method, model=config_to_json(config), version="0", **facts
    )
    return folder / f"{name}.json"


def test_the_partner_lies_beside_the_weights(tmp_path: Path) -> None:
    config = replace(SMALL, exact="other")
    path = written(tmp_path, "street", PartialLifter(config), "abspose-partial", config)
    written(tmp_path, "other", AbsPoseLifter(KINDS["stature"]), "abspose", KINDS["stature"])
    lifter = Lifter(path)
    assert lifter.model.details is not None
    assert lifter.model.details["exact"] == "other"
    network, _ = load_lifter(path)
    assert isinstance(network, PartialLifter)
    assert network.config == config, "tuples come back as tuples"
    assert partner_of(network, path) is not None
    network.config = SMALL
    assert partner_of(network, path) is None


def test_a_partner_of_another_kind_is_one_sentence(tmp_path: Path) -> None:
    config = replace(SMALL, exact="other")
    path = written(tmp_path, "street", PartialLifter(config), "abspose-partial", config)
    written(tmp_path, "other", AbsPoseLifter(KINDS["metre"]), "abspose", KINDS["metre"])
    with pytest.raises(InputError, match="other.json: expected a lifter of 17 joints in rays and statures"):
        Lifter(path)
