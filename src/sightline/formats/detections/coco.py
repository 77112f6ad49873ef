"""COCO's keypoints: results (a list of people) and annotations (an object with images, annotations and categories).

A person is x, y, v for each joint, with the origin at the first pixel's centre: 0.5 is added here. v is a visibility
(0 not labelled, 1 labelled but hidden, 2 visible) or, in results, a tool's own score. The category names the joints;
results have only their number. The format: cocodataset.org, "data format" and "results format".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sightline.errors import InputError
from sightline.formats import strict
from sightline.formats.detections.content import Dump, frame_indices
from sightline.formats.detections.joints import BODY_SETS
from sightline.formats.detections.people import SCORES, Detections, Layout, Row, gather, triples, whole_id
from sightline.skeleton import Skeleton

CENTER_SHIFT_PX: Final = 0.5


def read_coco(dump: Dump, asked: Skeleton | None) -> Detections:
    """The people of a file of results or annotations; the index of a frame is its image id."""
    where, content = dump.single.where, dump.single.content
    if isinstance(content, list):
        return _results(content, asked, where)
    if isinstance(content, dict) and "annotations" in content:
        return _annotations(content, asked, where)
    raise InputError(
        f"{where}: expected COCO's results, a list of people, or its annotations, an object with the keys images, "
        f"annotations and categories, got {strict.kind(content)}"
    )


def objects(entries: Sequence[Any], key: str, where: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The entries of a list, which must be objects, each with its place."""
    for number, entry in enumerate(entries):
        place = strict.place(where, key, number)
        yield strict.as_object(entry, place), place


def image_id(entry: Mapping[str, Any], key: str, where: str) -> int | str:
    """The id of an image: a whole number, or the name of a file."""
    if isinstance(entry.get(key), str):
        return strict.get_text(entry, key, where)
    return strict.get_integer(entry, key, where)


def flat_row(
    entry: Mapping[str, Any], person_id: int | None, where: str, *, key: str = "keypoints", frame: int = 0
) -> Row:
    """A person whose joints stand under `key` as one list of x, y, score, x, …"""
    return Row(frame, triples(strict.get_list(entry, key, where), f"{where}.{key}"), person_id, where)


def _results(entries: Sequence[Any], asked: Skeleton | None, where: str) -> Detections:
    people: list[tuple[int | str, Row]] = []
    for entry, place in objects(entries, "", where):
        people.append((image_id(entry, "image_id", place), flat_row(entry, _track(entry, place), place)))
    index = frame_indices((image for image, _ in people), where)
    rows = [row._replace(frame=index[image]) for image, row in people]
    return gather(rows, index.values(), _layout(SCORES), asked, where)


def _annotations(content: Mapping[str, Any], asked: Skeleton | None, where: str) -> Detections:
    images = list(objects(strict.get_list(content, "images", where, []), "images", where))
    ids = Counter(image_id(image, "id", place) for image, place in images)
    if ids and ids.most_common(1)[0][1] > 1:
        raise InputError(f"{where}: images: expected each id once, got {strict.kind(ids.most_common(1)[0][0])} twice")
    people: list[tuple[int | str, Row]] = []
    categories = set()
    entries = strict.get_list(content, "annotations", where)
    for entry, place in objects(entries, "annotations", where):
        if entry.get("keypoints") is None:  # a box or a mask alone
            continue
        image = image_id(entry, "image_id", place)
        if ids and image not in ids:
            raise InputError(f"{place}.image_id: expected the id of one of the images, got {strict.kind(image)}")
        people.append((image, flat_row(entry, _track(entry, place), place)))
        categories.add(strict.get_integer(entry, "category_id", place, None))
    if entries and not people:
        raise InputError(f"{where}: expected annotations with keypoints, but none of its {len(entries)} has them")
    index = frame_indices([*ids, *(image for image, _ in people)], where)
    rows = [row._replace(frame=index[image]) for image, row in people]
    names = _joint_names(content, categories, where)
    layout = _layout((0.0, 2.0), names=names, image_size=_image_size(images, where))
    return gather(rows, index.values(), layout, asked, where)


def _layout(score_range: tuple[float, float], **told: Any) -> Layout:
    return Layout(
        kind="coco", sets=BODY_SETS, usual=17, score_range=score_range, flags=True, shift_px=CENTER_SHIFT_PX, **told
    )


def _track(entry: Mapping[str, Any], where: str) -> int | None:
    """Who it is over time, as PoseTrack and CVAT write it; COCO itself has no such key."""
    attributes = entry.get("attributes")
    told = attributes if isinstance(attributes, dict) and "track_id" not in entry else entry
    return whole_id(told.get("track_id"), f"{where}.track_id")


def _joint_names(content: Mapping[str, Any], used: set[Any], where: str) -> tuple[str, ...] | None:
    """The joints of the categories that the people are of; None where they name none."""
    found: dict[tuple[str, ...], str] = {}
    for category, place in objects(strict.get_list(content, "categories", where, []), "categories", where):
        number = strict.get_integer(category, "id", place, None)
        if category.get("keypoints") is None or (used and number not in used):
            continue
        names = strict.get_list(category, "keypoints", place)
        bad = [name for name in names if not isinstance(name, str)]
        if bad:
            raise InputError(f"{place}.keypoints: expected names of joints, found {strict.kind(bad[0])} among them")
        found.setdefault(tuple(names), place)
    if len(found) > 1:
        first, second, *_ = found.values()
        raise InputError(f"{second}: expected the joints of {first}, since a file holds one joint set, got others")
    return next(iter(found), None)


def _image_size(images: Sequence[tuple[Mapping[str, Any], str]], where: str) -> tuple[int, int] | None:
    """The width and height that the images give; `InputError` where they differ, since there is one camera."""
    sizes: dict[tuple[int, int], str] = {}
    for image, place in images:
        if image.get("width") and image.get("height"):
            width, height = (strict.get_integer(image, side, place, low=1) for side in ("width", "height"))
            sizes.setdefault((width, height), place)
    if len(sizes) > 1:
        (one, other, *_), count = sizes, len(sizes)
        raise InputError(
            f"{where}: expected pictures of one size, as one camera takes them, got {count} sizes, among them "
            f"{one[0]} × {one[1]} and {other[0]} × {other[1]}; make a file of each"
        )
    return next(iter(sizes), None)
