"""A PersPose network and run small enough for tests."""

from __future__ import annotations

from sightline.methods.perspose.model import SIGHTLINE_LANDMARKS, PersPoseConfig
from sightline.training.config import PersPoseRunConfig

NETWORK = PersPoseConfig(
    backbone="mobilenetv4_conv_small_050", size_px=64, landmarks=SIGHTLINE_LANDMARKS, shape_numbers=0, channels=16,
    vector_size=32,
)  # fmt: skip
RUN = PersPoseRunConfig(
    name="perspose-test", model=NETWORK, steps=6, batch_size=4, learning_rate=1e-3, warmup_steps=2, workers=0,
    precision="32-true", checkpoint_every=3, validate_every=0, average_decay=0.9,
)  # fmt: skip
