"""Rendered sets and pictures rendered on the fly as data sets for torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fake_renders import COUNT, MAKE
from sightline.synth.reading import RenderedSet
from sightline.synth.rendered import Rendered
from sightline.synth.stream import OnTheFly


def index_and_sum(picture: Any) -> tuple[float, float]:
    return float(picture.image.sum()), float(picture.people[0].landmarks_cam.sum() if picture.people else 0.0)


def test_workers_of_a_loader_see_what_one_process_sees(fake_set: Path) -> None:
    from torch.utils.data import DataLoader

    found = RenderedSet(fake_set)
    found[0]  # open files are not sent
    alone = [index_and_sum(found[index]) for index in range(COUNT)]
    together = DataLoader(found, batch_size=None, num_workers=2, collate_fn=index_and_sum)  # pyright: ignore[reportArgumentType]
    assert list(together) == alone
    stream = OnTheFly(make=MAKE, length=COUNT, convert=index_and_sum)
    exact = [index_and_sum(MAKE(index)) for index in range(COUNT)]
    assert list(DataLoader(stream, batch_size=None, num_workers=2)) == [pytest.approx(pair) for pair in exact]  # pyright: ignore[reportArgumentType]


def test_every_epoch_on_the_fly_has_new_pictures() -> None:
    asked: list[int] = []

    def make(index: int) -> Rendered:
        asked.append(index)
        return MAKE(index)

    stream = OnTheFly(make=make, length=4, convert=index_and_sum)
    first = [stream[i] for i in range(4)]
    second = [stream.at_epoch(1)[i] for i in range(4)]
    assert asked == list(range(8))
    assert not set(first) & set(second)
    assert stream.warmed()[2] == first[2]
    assert len(stream) == 4
    with pytest.raises(IndexError, match="an epoch has 4"):
        stream[4]
    with pytest.raises(ValueError, match="expected at least 1 and 0"):
        OnTheFly(make=make, length=0, convert=index_and_sum)
