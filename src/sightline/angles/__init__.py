"""How far off the optical axis people are seen: φ of paper 001 (eq. 14, figure 7), over whole data sets."""

from sightline.angles.off_axis import angles_of_boxes, angles_of_rays
from sightline.angles.plot import FORMATS, write_histogram
from sightline.angles.reading import Angles, angles_of_poses, angles_of_set, read_angles
from sightline.angles.summary import Summary, bin_edges_deg, summary_of

__all__ = [
    "FORMATS",
    "Angles",
    "Summary",
    "angles_of_boxes",
    "angles_of_poses",
    "angles_of_rays",
    "angles_of_set",
    "bin_edges_deg",
    "read_angles",
    "summary_of",
    "write_histogram",
]
