"""Atomic writing: the old file or the whole new one, and nothing else in the folder."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from sightline.errors import InputError
from sightline.formats.atomic import atomic_path


@pytest.mark.parametrize("existing", [False, True])
def test_content_appears_under_the_name(tmp_path: Path, existing: bool) -> None:
    target = tmp_path / "poses.json"
    if existing:
        target.write_text("old")
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".json"
        temporary.write_text("new")
        assert target.exists() == existing  # untouched until the end
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["poses.json"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit, OSError])
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "poses.json"
    target.write_text("old")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise failure("stop")

    with pytest.raises(failure):
        write_half()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["poses.json"]


def test_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="out.npz: writing failed .*No space left"), atomic_path(tmp_path / "out.npz"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert os.listdir(tmp_path) == []


def test_bad_places_are_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    cases = [
        (tmp_path / "missing" / "out.json", "the folder .*missing does not exist"),
        (tmp_path / "file" / "out.json", "file is a file, not a folder"),
        (tmp_path, "this is a folder"),
        (tmp_path / ("x" * 300), "File name too long|cannot be written into|cannot be replaced"),
    ]
    for path, sentence in cases:
        entered = False
        with pytest.raises((InputError, OSError), match=sentence), atomic_path(path):
            entered = True
        assert not entered or path.name.startswith("xxx")
    assert os.listdir(tmp_path) == ["file"]


def test_unwritable_folder_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("sightline.formats.atomic.os.open", refuse)
    with pytest.raises(InputError, match=r"out.json: the folder .* cannot be written into \(Permission denied\)"):
        atomic_path(tmp_path / "out.json").__enter__()


def test_links_are_followed_and_permissions_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "real.json", tmp_path / "link.json"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    with atomic_path(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    with atomic_path(tmp_path / "atomic"):
        pass
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")}
    assert len(modes) == 1


def test_device_is_written_directly() -> None:
    with atomic_path("/dev/null") as path:
        assert path == Path("/dev/null")
        path.write_text("gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
