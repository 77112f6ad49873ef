"""What the points of C3D files are called: tables of labels, and the one spelling in which they are compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sightline.formats.c3d import C3d

Points = Float[np.ndarray, "frame 3"]
Names = Mapping[str, tuple[str, ...]]

# Marker → labels as `plain_label` spells them, without L or R in front. The first is Plug-in Gait's.
PAIRED: Names = {
    "ASI": ("ASI", "ASIS", "IAS", "FWT"),  # front of the pelvis; FWT is the "front waist" of CMU
    "PSI": ("PSI", "PSIS", "IPS", "BWT"),
    "THI": ("THI", "LTHI", "THIGH"),
    "KNE": ("KNE", "LEK", "LFE", "FLE", "LFC", "KNEEEXT", "KNEELAT", "KNEL", "LKNE", "LATKNEE"),
    "KNM": ("KNM", "MEK", "MFE", "FME", "MFC", "KNEEINT", "KNEEMED", "KNEM", "MKNE", "MEDKNEE"),
    "TIB": ("TIB", "LSHA", "SHN", "SHANK", "SHIN"),
    "ANK": ("ANK", "LM", "LMAL", "FAL", "ANKLEEXT", "ANKLELAT", "ANKL", "MALL", "LATANKLE"),
    "ANM": ("ANM", "MED", "MM", "MMAL", "TAM", "ANKLEINT", "ANKLEMED", "ANKM", "MALM", "MEDANKLE"),
    "SHO": ("SHO", "ACR", "ACROMION", "SAE"),
    "ELB": ("ELB", "LEL", "HLE", "AEL", "ELBOWEXT", "ELBOWLAT", "ELBL", "LELB", "LATELBOW"),
    "ELM": ("ELM", "MEP", "MEL", "HME", "ELBOWINT", "ELBOWMED", "ELBM", "MELB", "MEDELBOW"),
    "WRA": ("WRA", "RSP", "WTS", "WRISTRAD", "WRISTLAT", "RWRIST"),
    "WRB": ("WRB", "USP", "WPS", "WRISTULN", "WRISTMED", "UWRIST"),
    "WRI": ("WRI", "WRIST"),
    "FHD": ("FHD", "FRONTHEAD"),
    "BHD": ("BHD", "BACKHEAD"),
}
SINGLE: Names = {
    "SACR": ("SACR", "SACRUM", "VSACR", "VSACRAL", "SAC"),
    "C7": ("C7", "CV7"),
    "T10": ("T10", "TV10", "T8", "TV8"),
    "CLAV": ("CLAV", "JN", "IJ", "SJN"),
    "STRN": ("STRN", "XIPH", "PX", "SXS", "STERNUM"),
}

# Joint centres under names that mean nothing else: as marker models call them; the bones that Plug-in Gait writes.
CENTRES: Names = {
    "Hip": ("HJC",),
    "Knee": ("KJC",),
    "Ankle": ("AJC",),
    "Shoulder": ("SJC",),
    "Elbow": ("EJC",),
    "Wrist": ("WJC",),
}
BONES: Names = {
    "Hip": (),  # its femur begins at the hip of Davis's regression, 2.5 cm off; Harrington's is better
    "Knee": ("FEO",),
    "Ankle": ("TIO",),
    "Shoulder": ("CLO",),
    "Elbow": ("HUO",),
    "Wrist": ("RAO",),
}
LIMBS = tuple(CENTRES)

# Points named after joints, by pose estimators and OpenSim, and by character rigs, whose bones begin at the joints.
# They count only where one scheme has all limbs. Second of each pair: landmarks of `joint_sets` in the middle.
SCHEMES: tuple[tuple[Names, Names], ...] = (
    (
        {
            "Hip": ("HIP",),
            "Knee": ("KNEE",),
            "Ankle": ("ANKLE",),
            "Shoulder": ("SHOULDER", "ACROMIAL"),
            "Elbow": ("ELBOW",),
            "Wrist": ("WRIST", "RADIUSHAND"),
        },
        {
            "Thorax": ("NECK",),
            "HeadTop": ("HEAD", "HEADTOP"),
            "Nose": ("NOSE",),
            "LEar": ("LEAR",),
            "REar": ("REAR",),
        },
    ),
    (
        {
            "Hip": ("UPLEG", "THIGH", "UPPERLEG"),
            "Knee": ("LEG", "CALF", "SHIN", "LOWERLEG"),
            "Ankle": ("FOOT",),
            "Shoulder": ("ARM", "UPPERARM"),
            "Elbow": ("FOREARM", "LOWERARM"),
            "Wrist": ("HAND",),
        },
        {"SmplNeck": ("NECK",), "SmplHead": ("HEAD",)},
    ),
)

ADVICE: Mapping[str, str] = {
    "Hip": "the hips need LASI, RASI, LPSI and RPSI (or SACR)",
    "Knee": "the knees LKNE and RKNE",
    "Ankle": "the ankles LANK and RANK",
    "Shoulder": "the shoulders LSHO and RSHO",
    "Elbow": "the elbows LELB and RELB",
    "Wrist": "the wrists LWRA, LWRB, RWRA and RWRB",
    "Nose": "the head LFHD, RFHD, LBHD and RBHD",
}


def plain_label(label: str) -> str:
    """The label in upper case, nothing but letters and digits, the side as L or R in front: "hip_r" → "RHIP"."""
    text = re.sub(r"[^A-Z0-9]+", "_", label.upper()).strip("_")
    text = re.sub(r"^(L|R)(EFT|IGHT)_?(?=.)", r"\1", text)
    if match := re.fullmatch(r"(.+)_(L|R|LEFT|RIGHT)", text):
        text = match[2][0] + match[1]
    return text.replace("_", "")


@dataclass(frozen=True, eq=False)
class Markers:
    """The points of one subject, found by any of their labels; what is never seen in the file is not there."""

    labelled: Mapping[str, Points]
    widths_m: Mapping[str, float]

    @classmethod
    def of(cls, c3d: C3d) -> Markers:
        """The points of `c3d`, a file of one subject."""
        labelled: dict[str, Points] = {}
        for index, label in enumerate(c3d.labels):
            points = c3d.points_m[:, index]
            if not np.isnan(points).all():
                labelled.setdefault(plain_label(label), points)
        return cls(labelled, {plain_label(name): value for name, value in c3d.measures_m.items()})

    def first(self, side: str, labels: Sequence[str]) -> Points | None:
        """The first of these labels, with `side` in front, that the file has."""
        return next((self.labelled[side + label] for label in labels if side + label in self.labelled), None)

    def get(self, name: str) -> Points | None:
        """A marker by its name in `SINGLE`, or in `PAIRED` with L or R in front."""
        return self.first("", SINGLE[name]) if name in SINGLE else self.first(name[0], PAIRED[name[1:]])

    def middle(self, *names: str) -> Points | None:
        """The middle of these markers; None where one of them is not there."""
        found = [points for name in names if (points := self.get(name)) is not None]
        return np.mean(found, axis=0) if len(found) == len(names) else None

    def some(self, *names: str) -> Points | None:
        """The first of these markers that is there."""
        return next((points for name in names if (points := self.get(name)) is not None), None)

    def width_m(self, side: str, joint: str, otherwise: float) -> float:
        """The joint's width as the file's measures have it (LKneeWidth), else `otherwise`."""
        width = self.widths_m.get(f"{side}{joint.upper()}WIDTH", otherwise)
        return width if 0.03 < width < 0.25 else otherwise
