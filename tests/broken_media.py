"""A folder of good, odd and broken photos, films, cameras and boxes for the table of `test_bad_media.py`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from media_files import ORIENTATION, exif, numbered, overwrite, truncate, turn_film, write_heic, write_sound
from sightline.detect.protocol import Detection
from sightline.formats.camera import write_camera
from sightline.formats.keypoints import write_keypoints
from sightline.formats.video import write_video
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints
from staged_films import CAMERA, SIZE, Staged, placed_camera, walkers, write_film, write_photo
from staged_people import H36M


class Raises(Staged):
    """Fails on every picture."""

    name = "raises"

    def detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[Detection, ...]]:
        raise RuntimeError("the accelerator is on\nfire")


class Answers(Staged):
    """Answers whatever it was told to."""

    def __init__(self, name: str, answer: object) -> None:
        super().__init__()
        self.name, self._answer = name, answer

    def detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[Detection, ...]]:
        return self._answer if not callable(self._answer) else self._answer(pictures)  # type: ignore[return-value]


def _sight(**changes: object) -> Detection:
    (found, *_) = Staged()._people(numbered(0, *SIZE))
    values = {"keypoints_px": found.keypoints_px, "confidence": found.confidence, "score": 0.9} | changes
    return Detection.__new__(Detection) if values.get("blank") else _built(values)


def _built(values: dict[str, object]) -> Detection:
    detection = Detection.__new__(Detection)  # past the checks of annotations: it is anybody's code
    for name, value in ({"box_px": None, "id": None, "height_m": None} | values).items():
        object.__setattr__(detection, name, value)
    return detection


def detectors() -> dict[str, Staged]:
    """Detectors by name, most of them bad."""
    crowd = [_sight(score=0.5 + number / 1000) for number in range(200)]
    half = np.where(np.arange(34).reshape(17, 2) % 5 == 0, np.inf, 100.0)
    return {
        "staged": Staged(),
        "raises": Raises(),
        "nobody": Staged(lambda _: []),
        "crowd": Answers("crowd", lambda pictures: [tuple(crowd)] * len(pictures)),
        "too_few": Answers("too_few", []),
        "none": Answers("none", None),
        "words": Answers("words", lambda pictures: [("somebody",)] * len(pictures)),
        "joints": Answers(
            "joints", lambda p: [(_sight(keypoints_px=np.zeros((5, 2)), confidence=np.ones(5)),)] * len(p)
        ),
        "half": Answers("half", lambda p: [(_sight(keypoints_px=half),)] * len(p)),
        "all_nan": Answers("all_nan", lambda p: [(_sight(keypoints_px=np.full((17, 2), np.nan)),)] * len(p)),
        "twins": Answers("twins", lambda p: [(_sight(id=3), _sight(id=3))] * len(p)),
        "one_spot": Answers("one_spot", lambda p: [(_sight(keypoints_px=np.full((17, 2), 50.0)),)] * len(p)),
    }


def write_media(folder: Path) -> None:
    """Write everything that the table names."""
    _photos(folder)
    _films(folder)
    _cameras(folder)
    _boxes(folder)


def _photos(folder: Path) -> None:
    good = write_photo(folder / "good.jpg", 0, quality=95)
    write_photo(folder / "good.png", 0)
    for kind in ("jpg", "png"):
        broken = folder / f"cut_off.{kind}"
        broken.write_bytes((folder / f"good.{kind}").read_bytes())
        truncate(broken, 0.4)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "words.jpg").write_text("this is no picture\n", encoding="utf-8")
    (folder / "rubbish.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4)
    (folder / "film.jpg").mkdir()
    (folder / "notes.txt").write_text("a note", encoding="utf-8")
    (folder / "no_pictures").mkdir()
    (folder / "no_pictures" / "readme.md").write_text("nothing here", encoding="utf-8")
    (folder / "empty_folder").mkdir()
    mixed = folder / "mixed"
    mixed.mkdir()
    write_photo(mixed / "a.png", 0)
    (mixed / "b.jpg").write_bytes(good.read_bytes()[:300])
    write_photo(mixed / "c.png", 1)
    write_photo(folder / "square.png", 0, size=(480, 480))
    all_bad = folder / "all_bad"
    all_bad.mkdir()
    (all_bad / "x.jpg").write_bytes(b"")
    (all_bad / "y.png").write_bytes(b"no")
    shapes = folder / "shapes"
    shapes.mkdir()
    write_photo(shapes / "a.png", 0)
    write_photo(shapes / "wide.png", 0, size=(640, 320))
    _odd_photos(folder / "odd")


def _odd_photos(folder: Path) -> None:
    """Photos of one scene in unusual forms, all of which must do."""
    folder.mkdir()
    picture = numbered(0, *SIZE)
    rgb, grey = Image.fromarray(picture), Image.fromarray(picture[..., 0])
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    grey.save(folder / "grey.png")
    Image.fromarray(picture[..., 0].astype(np.uint16) * 257).save(folder / "grey16.png")
    alpha = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    Image.fromarray(alpha).save(folder / "alpha.png")
    rgb.quantize(16).save(folder / "palette.gif")
    rgb.save(folder / "web.webp", quality=95)
    stored = np.rot90(picture, 1)  # turned back by the tag
    Image.fromarray(np.ascontiguousarray(stored)).save(folder / "turned.jpg", exif=exif(6), quality=95)
    write_heic(folder / "phone.heic", picture)
    assert ORIENTATION


def _films(folder: Path) -> None:
    film = write_film(folder / "good.mp4", 8)
    for name, share in (("cut_off.mp4", 0.3), ("half.mp4", 0.7)):
        (folder / name).write_bytes(film.read_bytes())
        truncate(folder / name, share)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "words.mp4").write_text("no film", encoding="utf-8")
    write_sound(folder / "sound.mp4")
    turned = folder / "turned.mp4"
    write_video(turned, (np.ascontiguousarray(np.rot90(numbered(n, *SIZE), 1)) for n in range(4)), 25.0)
    turn_film(turned, 1)
    write_film(folder / "wide.mp4", 3, size=(640, 320))
    long = write_film(folder / "broken_inside.mp4", 60)
    overwrite(long, 0.4, 400)


def _cameras(folder: Path) -> None:
    write_camera(CAMERA, folder / "camera.json")
    write_camera(placed_camera(), folder / "placed.json")
    text = (folder / "camera.json").read_text(encoding="utf-8")
    content = json.loads(text)
    (folder / "camera_infinite.json").write_text(text.replace("600.0", "1e999"), encoding="utf-8")
    (folder / "camera_wide.json").write_text(json.dumps(content | {"image_size": [1280, 480]}), encoding="utf-8")
    (folder / "camera.yml").write_text("%YAML:1.0\n---\nimage_width: 640\nimage_height: 480\n", encoding="utf-8")
    (folder / "camera_cut.yml").write_text(
        "%YAML:1.0\n---\ncamera_matrix: !!opencv-matrix\n   rows: 3\n", encoding="utf-8"
    )
    (folder / "camera.toml").write_text("[cam_01]\nname = 'cam_01'\nsize = [640.0\n", encoding="utf-8")
    (folder / "cameras.txt").write_text("1 THIN_PRISM_FISHEYE 640 480 600\n", encoding="utf-8")
    (folder / "camera.bin").write_bytes(bytes(range(256)))


def _boxes(folder: Path) -> None:
    found = Staged()._people(numbered(0, *SIZE))
    people = tuple(
        PersonKeypoints(id=i, keypoints_px=d.keypoints_px, confidence=d.confidence) for i, d in enumerate(found)
    )
    frames = tuple(KeypointFrame(index=number, people=people) for number in range(4))
    write_keypoints(Keypoints(skeleton=H36M, image_size=SIZE, frames=frames), folder / "seen.json")
    write_keypoints(Keypoints(skeleton=H36M, image_size=(480, 480), frames=frames), folder / "seen_square.json")
    good = {"image_size": list(SIZE), "frames": [{"index": 0, "boxes": [{"id": 0, "box_px": [10, 10, 400, 470]}]}]}
    (folder / "boxes.json").write_text(json.dumps(good), encoding="utf-8")
    (folder / "boxes_cut.json").write_text(json.dumps(good)[:60], encoding="utf-8")
    bad = json.dumps(good).replace("[10, 10, 400, 470]", "[400, 10, 10, 470]")
    (folder / "boxes_back.json").write_text(bad, encoding="utf-8")
    (folder / "boxes_words.json").write_text(json.dumps(good).replace("470", '"tall"'), encoding="utf-8")
    assert walkers(0)
