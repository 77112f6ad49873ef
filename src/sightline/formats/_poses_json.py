"""Poses as a JSON object and back; `poses.py` is the door, docs/schemas/poses.schema.json the format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

import numpy as np

from sightline.errors import InputError
from sightline.formats import strict
from sightline.formats.camera import camera_from_json, camera_to_json
from sightline.formats.keypoints import skeleton_from_json, skeleton_to_json
from sightline.skeleton import Skeleton
from sightline.structures import (
    ExtraJoints,
    Hypothesis,
    ModelInfo,
    Person,
    PoseFrame,
    Poses,
    Scale,
    ScaleBody,
    ScaleSource,
    World,
)

FORMAT: Final = "sightline/poses"
VERSION: Final = 1
_METRE_DECIMALS: Final = 6
_PIXEL_DECIMALS: Final = 3
_CONFIDENCE_DECIMALS: Final = 4


def poses_to_json(poses: Poses) -> dict[str, Any]:
    """The whole of `poses`: metres rounded to 1e-6, pixels to 0.001, confidence to 0.0001; the rest has every digit."""
    return {**header_to_json(poses), "frames": [frame_to_json(frame) for frame in poses.frames]}


def poses_from_json(obj: Mapping[str, Any], where: str) -> Poses:
    """Poses from a JSON object; `InputError` that begins with `where` for whatever the format does not know."""
    header = header_from_json(obj, where, frames=True)
    skeleton = header["skeleton"]
    frames = tuple(
        _frame_from_json(strict.as_object(frame, place), skeleton, place)
        for number, frame in enumerate(strict.get_list(obj, "frames", where))
        for place in (strict.place(where, "frames", number),)
    )
    return built(Poses, where, **header, frames=frames)


def header_to_json(poses: Poses) -> dict[str, Any]:
    """All of `poses` but the frames."""
    content: dict[str, Any] = {"format": FORMAT, "version": VERSION, "skeleton": skeleton_to_json(poses.skeleton)}
    content["camera"] = camera_to_json(poses.camera)
    content["scale"] = _without_none(source=poses.scale.source, body=poses.scale.body, note=poses.scale.note)
    model = poses.model
    content["model"] = _without_none(method=model.method, weights=model.weights, version=model.version)
    if model.details:
        content["model"]["details"] = dict(model.details)
    if poses.fps is not None:
        content["fps"] = poses.fps
    if poses.world is not None:
        content["world"] = {"up_cam": poses.world.up_cam.tolist(), "floor_cam": poses.world.floor_cam.tolist()}
    return content


def header_from_json(obj: Mapping[str, Any], where: str, *, frames: bool) -> dict[str, Any]:
    """The arguments of `Poses` but the frames; `frames` says whether the object holds a list of them too."""
    name, version = obj.get("format"), obj.get("version")
    if name != FORMAT:
        raise InputError(f'{where}: expected "format": "{FORMAT}", got {strict.kind(name)}; is this a poses file?')
    if version != VERSION or isinstance(version, bool):
        raise InputError(f"{where}: expected version {VERSION} of the format, got {strict.kind(version)}")
    required = ("format", "version", "skeleton", "camera", "scale", "model", *(("frames",) if frames else ()))
    strict.check_keys(obj, required, ("fps", "world"), where)
    return {
        "skeleton": skeleton_from_json(obj, where),
        "camera": camera_from_json(strict.get_object(obj, "camera", where), strict.place(where, "camera")),
        "scale": _scale_from_json(strict.get_object(obj, "scale", where), strict.place(where, "scale")),
        "model": _model_from_json(strict.get_object(obj, "model", where), strict.place(where, "model")),
        "fps": strict.get_number(obj, "fps", where, None, above=0),
        "world": _world_from_json(strict.get_object(obj, "world", where, None), strict.place(where, "world")),
    }


def built(kind: Any, where: str, **fields: Any) -> Any:
    """`kind(**fields)`, with its complaint about a value as an `InputError` that names the place."""
    try:
        return kind(**fields)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _scale_from_json(obj: Mapping[str, Any], where: str) -> Scale:
    strict.check_keys(obj, ("source", "body"), ("note",), where)
    source = strict.get_choice(obj, "source", get_args(ScaleSource), where)
    body = strict.get_choice(obj, "body", get_args(ScaleBody), where)
    return Scale(source=source, body=body, note=strict.get_text(obj, "note", where, None))


def _model_from_json(obj: Mapping[str, Any], where: str) -> ModelInfo:
    strict.check_keys(obj, ("method",), ("weights", "version", "details"), where)
    return built(
        ModelInfo,
        where,
        method=strict.get_text(obj, "method", where),
        weights=strict.get_text(obj, "weights", where, None),
        version=strict.get_text(obj, "version", where, None),
        details=strict.get_object(obj, "details", where, {}),
    )


def _world_from_json(obj: Mapping[str, Any] | None, where: str) -> World | None:
    if obj is None:
        return None
    strict.check_keys(obj, ("up_cam", "floor_cam"), (), where)
    up_cam, floor_cam = strict.get_array(obj, "up_cam", (3,), where), strict.get_array(obj, "floor_cam", (4,), where)
    return built(World, where, up_cam=up_cam, floor_cam=floor_cam)


def frame_to_json(frame: PoseFrame) -> dict[str, Any]:
    """One entry of "frames", rounded as `poses_to_json` says."""
    content = _without_none(index=frame.index, time_s=frame.time_s, file=frame.file)
    if frame.camera is not None:
        content["camera"] = camera_to_json(frame.camera)
    content["people"] = [_person_to_json(person) for person in frame.people]
    return content


def _frame_from_json(obj: Mapping[str, Any], skeleton: Skeleton, where: str) -> PoseFrame:
    strict.check_keys(obj, ("index", "people"), ("time_s", "file", "camera"), where)
    camera = strict.get_object(obj, "camera", where, None)
    people = tuple(
        _person_from_json(strict.as_object(person, place), skeleton, place)
        for number, person in enumerate(strict.get_list(obj, "people", where))
        for place in (strict.place(where, "people", number),)
    )
    return built(
        PoseFrame,
        where,
        index=strict.get_integer(obj, "index", where, low=0),
        people=people,
        time_s=strict.get_number(obj, "time_s", where, None),
        file=strict.get_text(obj, "file", where, None),
        camera=None if camera is None else camera_from_json(camera, strict.place(where, "camera")),
    )


def _person_to_json(person: Person) -> dict[str, Any]:
    content = _without_none(id=person.id, score=person.score)
    if person.box_px is not None:
        content["box_px"] = _rounded(person.box_px, _PIXEL_DECIMALS)
    content["root_depth_canonical"] = person.root_depth_canonical
    content["joints_cam_m"] = strict.points_to_json(person.joints_cam_m, _METRE_DECIMALS)
    content["keypoints_px"] = strict.points_to_json(person.keypoints_px, _PIXEL_DECIMALS)
    content["confidence"] = _rounded(person.confidence, _CONFIDENCE_DECIMALS)
    if person.sigma_m is not None:
        content["sigma_m"] = strict.points_to_json(person.sigma_m, _METRE_DECIMALS)
    if person.hypotheses is not None:
        content["hypotheses"] = [_hypothesis_to_json(hypothesis) for hypothesis in person.hypotheses]
    if person.extra is not None:
        content["extra"] = {
            "skeleton": skeleton_to_json(person.extra.skeleton),
            "joints_cam_m": strict.points_to_json(person.extra.joints_cam_m, _METRE_DECIMALS),
        }
    return content | _without_none(mesh=person.mesh, plausibility=person.plausibility)


_OPTIONAL = ("id", "box_px", "sigma_m", "hypotheses", "extra", "mesh", "plausibility")


def _person_from_json(obj: Mapping[str, Any], skeleton: Skeleton, where: str) -> Person:
    required = ("score", "root_depth_canonical", "joints_cam_m", "keypoints_px", "confidence")
    strict.check_keys(obj, required, _OPTIONAL, where)
    joints = len(skeleton)
    sigma = obj.get("sigma_m")
    return built(
        Person,
        where,
        id=strict.get_integer(obj, "id", where, None, low=0),
        score=strict.get_number(obj, "score", where),
        root_depth_canonical=strict.get_number(obj, "root_depth_canonical", where, None, above=0),
        joints_cam_m=strict.as_points(obj["joints_cam_m"], joints, 3, strict.place(where, "joints_cam_m")),
        keypoints_px=strict.as_points(obj["keypoints_px"], joints, 2, strict.place(where, "keypoints_px")),
        confidence=strict.get_array(obj, "confidence", (joints,), where),
        box_px=strict.get_array(obj, "box_px", (4,), where, None),
        sigma_m=None if sigma is None else strict.as_points(sigma, joints, 3, strict.place(where, "sigma_m")),
        hypotheses=_hypotheses_from_json(strict.get_list(obj, "hypotheses", where, None), joints, where),
        extra=_extra_from_json(strict.get_object(obj, "extra", where, None), strict.place(where, "extra")),
        mesh=strict.get_text(obj, "mesh", where, None),
        plausibility=strict.get_number(obj, "plausibility", where, None, low=0, high=1),
    )


def _hypothesis_to_json(hypothesis: Hypothesis) -> dict[str, Any]:
    return {
        "score": hypothesis.score,
        "root_depth_canonical": hypothesis.root_depth_canonical,
        "joints_cam_m": strict.points_to_json(hypothesis.joints_cam_m, _METRE_DECIMALS),
    }


def _hypotheses_from_json(entries: list[Any] | None, joints: int, where: str) -> tuple[Hypothesis, ...] | None:
    if entries is None:
        return None
    hypotheses = []
    for number, entry in enumerate(entries):
        place = strict.place(where, "hypotheses", number)
        obj = strict.as_object(entry, place)
        strict.check_keys(obj, ("score", "joints_cam_m"), ("root_depth_canonical",), place)
        score = strict.get_number(obj, "score", place)
        depth = strict.get_number(obj, "root_depth_canonical", place, None, above=0)
        points = strict.as_points(obj["joints_cam_m"], joints, 3, strict.place(place, "joints_cam_m"))
        hypotheses.append(built(Hypothesis, place, score=score, joints_cam_m=points, root_depth_canonical=depth))
    return tuple(hypotheses)


def _extra_from_json(obj: Mapping[str, Any] | None, where: str) -> ExtraJoints | None:
    if obj is None:
        return None
    strict.check_keys(obj, ("skeleton", "joints_cam_m"), (), where)
    skeleton = skeleton_from_json(obj, where)
    points = strict.as_points(obj["joints_cam_m"], len(skeleton), 3, strict.place(where, "joints_cam_m"))
    return ExtraJoints(skeleton=skeleton, joints_cam_m=points)


def _without_none(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _rounded(values: np.ndarray, decimals: int) -> list[float]:
    return (np.round(values, decimals) + 0.0).tolist()
