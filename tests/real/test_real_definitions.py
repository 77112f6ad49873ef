"""Joints by several definitions in one run: whose labels count coarsely."""

from __future__ import annotations

from pathlib import Path

import pytest

from real_sets import set_people, write_real_set
from sightline.cli.train_joints import labelled_people
from sightline.cli.train_pictures import PictureOptions
from sightline.cli.train_real import coarse_among_others
from sightline.training.pictures import SetPeople
from sightline.training.real_people import KeypointsPeople, PosesPeople


def test_labels_are_coarse_where_they_meet_others(
    posed: PosesPeople, flat: KeypointsPeople, rendered: SetPeople, tmp_path: Path
) -> None:
    write_real_set(tmp_path / "other", set_people(tmp_path / "set", 3), "lsp14")
    other = PosesPeople(tmp_path / "other" / "poses.json", tmp_path / "other" / "photos")
    told = lambda real, beside: [people.labels.coarse for people in coarse_among_others(real, beside)]  # noqa: E731
    assert told([posed], []) == [False]
    assert told([posed, flat], []) == [False, True]
    assert told([posed, posed], []) == [False, False]
    assert told([posed, other], []) == [True, True]
    assert told([posed, flat], [rendered]) == [True, True]


@pytest.mark.parametrize("beside", [(), ("others",)])
def test_networks_that_find_joints_take_exact_labels_as_such(
    made: Path, tmp_path: Path, beside: tuple[str, ...]
) -> None:
    sources = PictureOptions(
        pictures=tuple(made / name for name in beside),
        real=(made / "real" / "poses.json",),
        real_pictures=(made / "real" / "photos",),
        real_camera=(),
        shares=(),
        held_out=made / "tests" / "poses.json",
        held_out_pictures=made / "tests" / "photos",
    )
    train, _, credit = labelled_people(tmp_path, sources)
    assert ("placed coarsely" in credit) == bool(beside)
    assert any(train[row][1].coarse for row in range(0, len(train), max(1, len(train) // 40))) == bool(beside)
