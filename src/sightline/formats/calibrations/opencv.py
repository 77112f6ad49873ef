"""OpenCV calibrations: YAML, XML and JSON as `cv2.FileStorage` writes them, as plain lists, and ROS's camera_info.

OpenCV has no fixed format, only habits: its samples, ROS and the usual scripts name the same things differently, and
this reader knows those names, whatever their case and underscores. Pixels count from the first one's centre. Rotation
and translation are camera_from_world; the lists of them that a calibration keeps of its boards (`rvecs`,
`extrinsic_parameters`) place no camera and are not read.

Names with a number or a side (`K1`, `dist_left`) are cameras of their own. Of two with R and T between them
(`cv2.stereoCalibrate`), the second is placed relative to the first, which is no world with a floor: their places are
read only where the caller says that they may be (`placed`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from sightline.camera import Camera
from sightline.errors import InputError
from sightline.formats.calibrations import _values as values
from sightline.formats.calibrations._content import Content, read_content
from sightline.formats.calibrations._values import Place
from sightline.geometry.distortion import Distortion

_FURTHEST_M = 500.0  # a camera from the middle of its world; millimetres of a room are thousands
_LONGEST_BASELINE_M = 50.0  # of a rig; millimetres of a rig are hundreds

_DEEPEST = 10  # levels of XML; a camera has two

_MATRIX = ("cameramatrix", "intrinsicmatrix", "intrinsicsmatrix", "intrinsic", "intrinsics", "cameramat", "mtx", "k")
_LENS = (
    "distortioncoefficients", "distortioncoeffs", "distcoefficients", "distcoeffs", "distcoeff", "distcoefs",
    "distcoef", "distortions", "distortion", "fisheyedistortion", "fisheyecoefficients", "dist", "d",
)  # fmt: skip
_ROTATION = ("rotationmatrix", "rotation", "rmat", "rot", "r", "rvec", "rotationvector")
_TRANSLATION = ("translationvector", "translation", "tvec", "t")
_SIZE = ("imagesize", "imgsize", "resolution", "size")
_WIDTH = ("imagewidth", "imgwidth", "framewidth", "width")
_HEIGHT = ("imageheight", "imgheight", "frameheight", "height")
_FISHEYE = ("fisheyemodel", "isfisheye", "fisheye")
_MODEL = ("distortionmodel", "distortiontype", "lensmodel")

_PERSPECTIVE = {"plumbbob", "rationalpolynomial", "radtan", "radialtangential", "brownconrady", "brown", "opencv"}
_FISHEYES = {"equidistant", "fisheye", "kannalabrandt", "equi", "opencvfisheye"}
_NONE = {"", "none", "pinhole"}
_NUMBERED = re.compile(r"(?P<base>.+?)(?P<which>\d+|left|right|l|r)|(?P<side>left|right)(?P<rest>.+)")
_SIDES = {"l": "left", "r": "right"}


def read_opencv(
    path: str | Path, *, image_size: Sequence[float] | None = None, placed: bool = False
) -> dict[str, Camera]:
    """Read the cameras of an OpenCV or ROS calibration (float64, corner origin, metres).

    Args:
        path: the file. Its one camera is called as it says (`camera_name`), or as the file without suffix; several are
            called by the number or side in their names ("1" and "2", "left" and "right").
        image_size: width and height (px) of the calibrated picture, used where the file does not say it.
        placed: whether a stereo rig's second camera gets its place relative to the first.

    Raises:
        InputError: for a file that is none, or whose camera cannot be one.
    """
    content = read_content(path)
    if not is_opencv(content):
        raise InputError(
            f"{path}: expected an OpenCV calibration, found no camera matrix (such as camera_matrix) in it"
        )
    return cameras_from_opencv(content, path, image_size=image_size, placed=placed)


def is_opencv(content: Content) -> bool:
    """Whether a parsed file has a camera matrix under one of the names that people use."""
    if content.syntax == "xml":
        return content.value.tag == "opencv_storage"
    return content.syntax in ("json", "yaml") and bool(_camera_names(_Fields(content.value, "")))


def cameras_from_opencv(
    content: Content, path: str | Path, *, image_size: Sequence[float] | None = None, placed: bool = False
) -> dict[str, Camera]:
    """Make the cameras of a parsed file; see `read_opencv`."""
    fields = _Fields(_storage(content.value, path) if content.syntax == "xml" else content.value, str(path))
    names = _camera_names(fields)
    if not names:
        raise InputError(f"{path}: expected a camera matrix (such as camera_matrix), got {fields.listed()}")
    size = _size(fields, image_size)
    called = {which: which or _own_name(fields, Path(path).stem) for which in names}
    cameras = {}
    for which, there in _places(fields, names, placed).items():
        where = f'{path}: camera "{called[which]}"' if which else str(path)
        key, matrix = fields.only(_MATRIX + (("m",) if which else ()), which, values.camera_matrix)
        if image_size is not None and not _has_size(fields):
            _check_middle(matrix, size, f"{path}: {key}")
        cameras[called[which]] = values.built(
            size, matrix[[0, 1], [0, 1]], matrix[:2, 2], _lens(fields, which), there, where
        )
    return cameras


@dataclass(frozen=True)
class _Fields:
    """What a file says, found by names of which only letters and digits count."""

    content: Mapping[Any, Any]
    path: str

    def all(self, names: Sequence[str], which: str = "") -> Iterator[tuple[str, Any]]:
        """Every (key, value) that goes by one of the names, of the camera `which` (of the only one: "")."""
        for wanted in names:
            for key, value in self.content.items():
                base, number = _split(_bare(key), names)
                if base == wanted and number == which and value is not None:
                    yield str(key), value

    def only(self, names: Sequence[str], which: str, convert: Callable[[Any, str], Any]) -> tuple[str, Any]:
        """The first (key, converted value) of the names; `InputError` where another one contradicts it."""
        found = [(key, convert(value, f"{self.path}: {key}")) for key, value in self.all(names, which)]
        for key, other in found[1:]:
            if np.shape(other) != np.shape(found[0][1]) or not np.allclose(other, found[0][1], atol=1e-4):
                raise InputError(f"{self.path}: {found[0][0]} and {key} contradict each other; remove one of them")
        return found[0]

    def has(self, names: Sequence[str], which: str = "") -> bool:
        return next(self.all(names, which), None) is not None

    def listed(self) -> str:
        """The names that are there, for a message."""
        names = [str(key) for key in self.content]
        return (", ".join(names[:8]) + (" …" if len(names) > 8 else "")) or "nothing"


def _bare(key: Any) -> str:
    return re.sub(r"[^a-z0-9]", "", str(key).lower())


def _split(bare: str, names: Sequence[str]) -> tuple[str, str]:
    """A key as (name, which camera): "cameramatrix1" → ("cameramatrix", "1")."""
    if bare in names:
        return bare, ""
    found = _NUMBERED.fullmatch(bare)
    if found is None:
        return bare, ""
    if found["side"]:
        return found["rest"], found["side"]
    return found["base"], _SIDES.get(found["which"], found["which"])


def _camera_names(fields: _Fields) -> list[str]:
    """Which cameras have a matrix: "" for the only one; numbers or sides for several."""
    if any(isinstance(value, (Mapping, list, tuple)) for _, value in fields.all(_MATRIX)):
        return [""]
    found: dict[str, None] = {}
    for key, value in fields.content.items():
        base, which = _split(_bare(key), (*_MATRIX, "m"))
        if which and base in (*_MATRIX, "m") and isinstance(value, (Mapping, list, tuple)):
            found[which] = None
    return sorted(found, key=lambda which: (len(which) if which.isdigit() else 0, which))


def _own_name(fields: _Fields, stem: str) -> str:
    name = next((value for _, value in fields.all(("cameraname",))), None)
    return name if isinstance(name, str) and name else stem


def _has_size(fields: _Fields) -> bool:
    return fields.has(_SIZE) or (fields.has(_WIDTH) and fields.has(_HEIGHT))


def _size(fields: _Fields, given: Sequence[float] | None) -> tuple[float, float]:
    """The picture's size: as the file says it, or else as the caller does."""
    if fields.has(_WIDTH) and fields.has(_HEIGHT):
        (key, width), (_, height) = (fields.only(names, "", values.number) for names in (_WIDTH, _HEIGHT))
        return values.image_size([width, height], f"{fields.path}: {key}")
    if fields.has(_SIZE):
        key, size = next(fields.all(_SIZE))
        if isinstance(size, Mapping) and "data" not in size:
            return _size(_Fields(size, f"{fields.path}: {key}"), None)
        return values.image_size(size, f"{fields.path}: {key}")
    if given is None:
        raise InputError(
            f"{fields.path}: does not say how large the calibrated picture was; add image_width and image_height to it"
        )
    return values.image_size(list(given), "image_size")


def _check_middle(matrix: np.ndarray, size: tuple[float, float], where: str) -> None:
    """Of a size that the file did not say: is it that of the calibrated picture?"""
    middle = matrix[:2, 2] / size
    if (middle < 0.25).any() or (middle > 0.75).any():
        raise InputError(
            f"{where}: its principal point ({matrix[0, 2]:.0f}, {matrix[1, 2]:.0f}) lies far from the middle of "
            f"{size[0]:.0f} × {size[1]:.0f} px, so the calibrated picture was of another size; add image_width and "
            "image_height to the file"
        )


def _lens(fields: _Fields, which: str) -> Distortion | None:
    """The lens: OpenCV's perspective one or its fisheye."""
    model = next((_bare(value) for _, value in fields.all(_MODEL) if isinstance(value, str)), None)
    if model is not None and model not in _PERSPECTIVE | _FISHEYES | _NONE:
        raise InputError(
            f'{fields.path}: expected the distortion model plumb_bob, rational_polynomial or equidistant, got "{model}"'
        )
    if not fields.has(_LENS, which):
        if model in _FISHEYES or _is_flagged(fields):
            raise InputError(f"{fields.path}: expected the 4 coefficients of a fisheye, found no distortion in it")
        return None
    key, coefficients = fields.only(_LENS, which, lambda value, where: values.array(value, where).reshape(-1))
    fisheye = model in _FISHEYES or "fisheye" in _bare(key) or (model is None and _is_flagged(fields))
    if model in _NONE and coefficients.any():
        raise InputError(f'{fields.path}: {key}: expected no distortion with the model "{model}", got some')
    return values.lens(coefficients, fisheye, f"{fields.path}: {key}")


def _is_flagged(fields: _Fields) -> bool:
    """Whether a flag says fisheye, as OpenCV's calibration sample writes it."""
    for key, value in fields.all(_FISHEYE):
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        return bool(value) if isinstance(value, bool) else values.number(value, f"{fields.path}: {key}") != 0
    return False


def _places(fields: _Fields, names: Sequence[str], placed: bool) -> dict[str, Place | None]:
    """Where the cameras are, as far as the file says it of a world (or of the rig, if `placed`)."""
    places: dict[str, Place | None] = {which: _place(fields, which) for which in names}
    if len(names) == 2 and not any(places.values()):
        between = _place(fields, "")
        if between is not None:
            if not placed:  # the rig's own unit does not matter to whoever wants a lens
                return dict.fromkeys(names)
            places = {names[0]: Place(np.eye(3), np.zeros(3)), names[1]: between}
            values.check_metres(places, _LONGEST_BASELINE_M, fields.path)
    places = values.known_places(places, placed)
    values.check_metres(places, _FURTHEST_M, fields.path)
    return places


def _place(fields: _Fields, which: str) -> Place | None:
    """The place under rotation and translation; R alone is a rectification, as ROS has it."""
    if not (fields.has(_ROTATION, which) and fields.has(_TRANSLATION, which)):
        return None
    _, rotation = fields.only(_ROTATION, which, values.rotation_matrix)
    _, translation = fields.only(_TRANSLATION, which, lambda value, where: values.vector(value, 3, where))
    return Place(rotation, translation)


def _storage(root: ElementTree.Element, path: str | Path) -> dict[str, Any]:
    """OpenCV's XML as the mapping that its YAML would be."""
    tags = [child.tag for child in root]
    twice = next((tag for tag in tags if tags.count(tag) > 1), None)
    if twice is not None:
        raise InputError(f'{path}: the name "{twice}" stands twice')
    return {child.tag: _from_xml(child) for child in root}


def _from_xml(element: ElementTree.Element, depth: int = 0) -> Any:
    """A mapping, list, number or text of OpenCV's XML; what lies deeper than anything of a camera is left out."""
    text = (element.text or "").strip()
    if element.get("type_id") == "opencv-matrix":
        return {child.tag: _matrix_part(child) for child in element}
    if depth > _DEEPEST:
        return None
    if len(element) and all(child.tag == "_" for child in element):
        return [_from_xml(child, depth + 1) for child in element]
    if len(element):
        return {child.tag: _from_xml(child, depth + 1) for child in element}
    words = text.split()
    return words if len(words) > 1 and not text.startswith('"') else text.strip('"')


def _matrix_part(child: ElementTree.Element) -> Any:
    text = (child.text or "").strip()
    return text.split() if child.tag == "data" else text
