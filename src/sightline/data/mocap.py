"""Motion capture as the 17 Human3.6M joints: from clips of BVH, ASF/AMC or C3D to one array file.

The public names of the files beside: `mocap_clips` (one clip), `marker_sets` (markers), `mocap_manifest` and
`mocap_folder` (a folder of clips), `motion_library` (the array file). World frame of all results: metres, right-handed,
z up; where x and y point (the yaw) is as in the recording.
"""

from sightline.data.marker_sets import MarkerJoints, joints_from_c3d
from sightline.data.mocap_clips import joints_from_bvh, map_for, mirrored, resampled, upward_axis, z_up_from
from sightline.data.mocap_folder import Prepared, prepare_mocap
from sightline.data.mocap_manifest import ManifestRow, Unlisted
from sightline.data.motion_library import MotionLibrary, read_library, write_library

__all__ = [
    "ManifestRow",
    "MarkerJoints",
    "MotionLibrary",
    "Prepared",
    "Unlisted",
    "joints_from_bvh",
    "joints_from_c3d",
    "map_for",
    "mirrored",
    "prepare_mocap",
    "read_library",
    "resampled",
    "upward_axis",
    "write_library",
    "z_up_from",
]
