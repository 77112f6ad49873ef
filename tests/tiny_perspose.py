"""A PersPose network and run small enough for tests; crops and answers for such a network."""

from __future__ import annotations

import roma
import torch
from torch import Tensor

from sightline.methods.perspose.loss import Truth
from sightline.methods.perspose.model import LEAVES, SIGHTLINE_LANDMARKS, Answers, PersPose, PersPoseConfig
from sightline.nn.backbones import as_input
from sightline.training.config import PersPoseRunConfig

NETWORK = PersPoseConfig(
    backbone="mobilenetv4_conv_small_050", size_px=64, landmarks=SIGHTLINE_LANDMARKS, shape_numbers=0, channels=16,
    vector_size=32,
)  # fmt: skip
RUN = PersPoseRunConfig(
    name="perspose-test", model=NETWORK, steps=6, batch_size=4, learning_rate=1e-3, warmup_steps=2, workers=0,
    precision="32-true", checkpoint_every=3, validate_every=0, average_decay=0.9,
)  # fmt: skip

SMALL = PersPoseConfig(backbone="mobilenetv4_conv_small_050", size_px=64, shape_numbers=6)


def crops(count: int = 2, size: int = 64) -> tuple[Tensor, Tensor]:
    """Pictures and intrinsics whose principal points lie beside the middle."""
    image = torch.rand(count, 3, size, size, generator=torch.manual_seed(1))
    intrinsics = torch.eye(3).repeat(count, 1, 1)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = 3.0 * size
    intrinsics[:, 0, 2] = torch.linspace(-1, 2, count) * size
    intrinsics[:, 1, 2] = torch.linspace(0.5, 0.1, count) * size
    return as_input(image), intrinsics


def network(config: PersPoseConfig = SMALL) -> PersPose:
    torch.manual_seed(2)
    return PersPose(config).eval()


def random_answers(config: PersPoseConfig = SMALL, count: int = 3) -> Answers:
    joints = len(config.landmarks)
    return Answers(
        uv_px=64 * torch.rand(count, joints, 2),
        depth_m=torch.randn(count, joints),
        scale_m_px=0.01 + 0.02 * torch.rand(count),
        shape=torch.rand(count, config.shape_numbers),
        twists=torch.randn(count, 24, 3),
        leaf_rotations=roma.random_rotmat((count, len(LEAVES))),
    )


def as_truth(answers: Answers) -> Truth:
    """What is true if the answers are right."""
    stature, coarse = torch.full_like(answers.scale_m_px, 1.7), torch.zeros(len(answers.scale_m_px), dtype=torch.bool)
    return Truth(*answers[:3], stature, *answers[3:], coarse)
