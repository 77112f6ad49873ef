"""Named protocols: which joints a figure averages over, what becomes of the root, and which thresholds hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, get_args

from sightline.metrics.functional import AUC_THRESHOLDS_M, PCK_THRESHOLD_M, Root
from sightline.skeleton import Skeleton, get_skeleton


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What has to be said before two MPJPEs may be compared. Raises `ValueError` for unknown joints or an odd root."""

    name: str
    skeleton: str
    """The joint set that poses are converted to before they are compared."""
    joints: tuple[str, ...]
    """Joints averaged over (and fitted to, under Procrustes and for the best scale)."""
    root: Root = "excluded"
    """Under alignment at the skeleton's root, whether its free zero is left out of the mean or counted."""
    text: str
    """One sentence for people."""
    pck_threshold_m: float = PCK_THRESHOLD_M
    auc_thresholds_m: tuple[float, ...] = AUC_THRESHOLDS_M

    def __post_init__(self) -> None:
        if self.root not in get_args(Root):
            raise ValueError(f'root: expected "excluded" or "counted", got {self.root!r}')
        if not self.joints or len(set(self.joints)) < len(self.joints):
            raise ValueError(f"joints: expected at least one joint and no name twice, got {self.joints}")
        if self.pck_threshold_m <= 0 or not self.auc_thresholds_m:
            raise ValueError("thresholds: expected pck_threshold_m > 0 and at least one of auc_thresholds_m")
        _ = self.joint_indices  # refuses a joint that the skeleton does not have

    @property
    def joint_set(self) -> Skeleton:
        """The skeleton itself."""
        return get_skeleton(self.skeleton)

    @property
    def joint_indices(self) -> tuple[int, ...]:
        """Where the joints averaged over stand in the skeleton."""
        return tuple(self.joint_set.index(joint) for joint in self.joints)

    @property
    def root_joint(self) -> int:
        """Index of the joint that root alignment lays on the truth's, whether or not it is averaged over."""
        return self.joint_set.root

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(child, parent) of the bones whose lengths are compared: those between two joints averaged over."""
        inside = set(self.joint_indices)
        return tuple(bone for bone in self.joint_set.bones if inside >= set(bone))

    @property
    def root_aligned_joints(self) -> tuple[str, ...]:
        """Joints in the mean of MPJPE, N-MPJPE, 3DPCK and AUC; PA-MPJPE and absolute errors take all of `joints`."""
        root = self.joint_set.joints[self.root_joint]
        return tuple(joint for joint in self.joints if self.root == "counted" or joint != root)

    def describe(self) -> str:
        """Name, text and the numbers of joints, in one line."""
        root = self.joint_set.joints[self.root_joint]
        return (
            f"{self.name}: {self.text} In {self.skeleton}: {len(self.root_aligned_joints)} joints after alignment at "
            f"{root} (root {self.root}), {len(self.joints)} otherwise."
        )


_LIMBS = tuple(side + joint for joint in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle") for side in "RL")
_H36M17 = get_skeleton("h36m17").joints
_MPI17 = get_skeleton("mpi_inf_3dhp17").joints

PROTOCOLS: Final[Mapping[str, Protocol]] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            Protocol(
                name="h36m17",
                skeleton="h36m17",
                joints=_H36M17,
                text="Human3.6M's 17 joints; the root's free zero is left out of root-aligned means.",
            ),
            Protocol(
                name="h36m17_root_counted",
                skeleton="h36m17",
                joints=_H36M17,
                root="counted",
                text="As h36m17 with the root counted as a joint without error, as older tables do (16/17 as large).",
            ),
            Protocol(
                name="h36m14",
                skeleton="h36m17",
                joints=(*_LIMBS, "Thorax", "Head"),
                text="The 14 joints that body-model papers regress on Human3.6M: limbs, neck base and head.",
            ),
            Protocol(
                name="limbs12",
                skeleton="h36m17",
                joints=_LIMBS,
                text="Shoulders, elbows, wrists, hips, knees, ankles: what every joint set has, nothing approximated.",
            ),
            Protocol(
                name="mpi_inf_3dhp",
                skeleton="mpi_inf_3dhp17",
                joints=_MPI17[:14],
                text="The 14 joints over which MPI-INF-3DHP's evaluation takes 3DPCK and AUC; Pelvis is the root.",
            ),
            Protocol(
                name="mpi_inf_3dhp17",
                skeleton="mpi_inf_3dhp17",
                joints=_MPI17,
                text="All 17 joints of MPI-INF-3DHP's test set; the root's free zero is left out.",
            ),
        )
    }
)
"""Every named protocol."""


def get_protocol(name: str) -> Protocol:
    """The protocol called `name`; `ValueError` that lists the names where there is none."""
    if name not in PROTOCOLS:
        raise ValueError(f"unknown protocol {name!r}; known are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
