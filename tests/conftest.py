"""What holds for every test: annotations are enforced, chance is seeded, pictures need no screen.

Shapes and types of every annotated call in Sightline are checked while the tests run, and only then.
"""

import os
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")  # set before anything imports matplotlib; commands run by tests inherit it

from jaxtyping import install_import_hook

from sightline_typecheck import checked_modules

install_import_hook(checked_modules(), "sightline_typecheck.checked")

import numpy as np
import pytest
import torch
from hypothesis import settings

settings.register_profile("sightline", deadline=None, derandomize=True)
settings.load_profile("sightline")
torch.set_num_threads(1)  # more threads than idle cores are ruinous, and pytest-xdist already uses them


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Each test draws the same numbers in whatever order the tests run."""
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session")
def tiny_lifters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with two small lifters, `metre` and `stature`."""
    from tiny_lifters import write_tiny_lifters

    folder = tmp_path_factory.mktemp("lifters")
    write_tiny_lifters(folder)
    return folder


@pytest.fixture(scope="session")
def fake_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered set of fake pictures; nobody writes into it."""
    from fake_renders import written

    folder = tmp_path_factory.mktemp("sets") / "fake"
    written(folder)
    return folder


@pytest.fixture
def copied(fake_set: Path, tmp_path: Path) -> Path:
    """A copy of `fake_set` to do harm to."""
    from fake_renders import contents

    for name, content in contents(fake_set).items():
        (tmp_path / name).write_bytes(content)
    return tmp_path
