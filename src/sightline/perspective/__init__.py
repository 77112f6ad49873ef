"""Location-dependent perspective removed by virtual cameras: layers that anyone can drop into their own network."""

from sightline.perspective.crop import PerspectiveCrop, PerspectiveView
from sightline.perspective.encoding import PerspectiveEncoding, encoding_map
from sightline.perspective.keypoints import PerspectiveKeypoints, PerspectiveKeypointsView
from sightline.perspective.rotation import PerspectiveRotation
from sightline.perspective.stn import AffineSTN, Localizer, PerspectiveSTN, Region, resnet18_localizer
from sightline.perspective.virtual import (
    VirtualCamera,
    keypoints_from_virtual,
    keypoints_in_virtual,
    poses_from_virtual,
    poses_in_virtual,
    virtual_camera,
)

__all__ = [
    "AffineSTN",
    "Localizer",
    "PerspectiveCrop",
    "PerspectiveEncoding",
    "PerspectiveKeypoints",
    "PerspectiveKeypointsView",
    "PerspectiveRotation",
    "PerspectiveSTN",
    "PerspectiveView",
    "Region",
    "VirtualCamera",
    "encoding_map",
    "keypoints_from_virtual",
    "keypoints_in_virtual",
    "poses_from_virtual",
    "poses_in_virtual",
    "resnet18_localizer",
    "virtual_camera",
]
