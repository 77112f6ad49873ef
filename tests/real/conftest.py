"""A rendered set, and the same people as the files that users have."""

from __future__ import annotations

from pathlib import Path

import pytest

from real_sets import set_people, write_coco, write_real_set
from sightline.training.pictures import SetPeople
from sightline.training.real_people import KeypointsPeople, PosesPeople


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`set` and `others`, rendered, and `real` and `tests` with the same people as files; nobody writes into them."""
    folder = tmp_path_factory.mktemp("real")
    for seed, (rendered, real) in enumerate((("set", "real"), ("others", "tests"))):
        write_real_set(folder / real, set_people(folder / rendered, seed))
    write_coco(folder / "real", SetPeople(folder / "set", body=False))
    return folder


@pytest.fixture
def rendered(made: Path) -> SetPeople:
    return SetPeople(made / "set", body=False)


@pytest.fixture
def posed(made: Path) -> PosesPeople:
    return PosesPeople(made / "real" / "poses.json", made / "real" / "photos")


@pytest.fixture
def flat(made: Path) -> KeypointsPeople:
    return KeypointsPeople(made / "real" / "keypoints.json", made / "real" / "photos")
