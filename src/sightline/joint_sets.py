"""The joints of every known data set and detector, in its order, and the rules that derive one joint from others.

Three tables and no code that computes; `skeleton.py` makes skeletons and conversions of them.

Two joints are the same joint where they have the same **landmark**: the joint's own name, unless `LANDMARKS` says
otherwise. Hips, knees, shoulders and the like count as one landmark everywhere, though sets differ by two or three
centimetres in how deep under the skin they place them. Where the anatomy itself differs (Human3.6M's "Nose" lies at the
height of the chin), the landmarks differ, and only a rule leads from one to the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

_COCO_BODY: Final = (
    "Nose< LEye<Nose REye<Nose LEar<LEye REar<REye LShoulder<Nose RShoulder<Nose LElbow<LShoulder RElbow<RShoulder "
    "LWrist<LElbow RWrist<RElbow LHip<LShoulder RHip<RShoulder LKnee<LHip RKnee<RHip LAnkle<LKnee RAnkle<RKnee"
)

JOINT_SETS: Final[Mapping[str, str]] = {
    # Human3.6M (Ionescu et al. 2014): the 17 of its 32 joints that the field evaluates. The interchange skeleton.
    "h36m17": (
        "Hip< RHip<Hip RKnee<RHip RAnkle<RKnee LHip<Hip LKnee<LHip LAnkle<LKnee Spine<Hip Thorax<Spine Nose<Thorax "
        "Head<Nose LShoulder<Thorax LElbow<LShoulder LWrist<LElbow RShoulder<Thorax RElbow<RShoulder RWrist<RElbow"
    ),
    # LCR-Net++ (Rogez, Weinzaepfel, Schmid 2019): 13 joints, none in the middle of the body but the head.
    "lcr13": (
        "RAnkle<RKnee LAnkle<LKnee RKnee<RHip LKnee<LHip RHip<RShoulder LHip<LShoulder RWrist<RElbow LWrist<LElbow "
        "RElbow<RShoulder LElbow<LShoulder RShoulder<Head LShoulder<Head Head<"
    ),
    # COCO keypoints (Lin et al. 2014).
    "coco17": _COCO_BODY,
    # MPII Human Pose (Andriluka et al. 2014).
    "mpii16": (
        "RAnkle<RKnee RKnee<RHip RHip<Pelvis LHip<Pelvis LKnee<LHip LAnkle<LKnee Pelvis< Thorax<Pelvis "
        "UpperNeck<Thorax HeadTop<UpperNeck RWrist<RElbow RElbow<RShoulder RShoulder<Thorax LShoulder<Thorax "
        "LElbow<LShoulder LWrist<LElbow"
    ),
    # MPI-INF-3DHP (Mehta et al. 2017): all joints of the training annotations.
    "mpi_inf_3dhp28": (
        "Spine3<Spine2 Spine4<Spine3 Spine2<Spine Spine<Pelvis Pelvis< Neck<Spine4 Head<Neck HeadTop<Head "
        "LClavicle<Neck LShoulder<LClavicle LElbow<LShoulder LWrist<LElbow LHand<LWrist RClavicle<Neck "
        "RShoulder<RClavicle RElbow<RShoulder RWrist<RElbow RHand<RWrist LHip<Pelvis LKnee<LHip LAnkle<LKnee "
        "LFoot<LAnkle LToe<LFoot RHip<Pelvis RKnee<RHip RAnkle<RKnee RFoot<RAnkle RToe<RFoot"
    ),
    # MPI-INF-3DHP: the 17 joints of the test set, in its order.
    "mpi_inf_3dhp17": (
        "HeadTop<Head Neck<Spine RShoulder<Neck RElbow<RShoulder RWrist<RElbow LShoulder<Neck LElbow<LShoulder "
        "LWrist<LElbow RHip<Pelvis RKnee<RHip RAnkle<RKnee LHip<Pelvis LKnee<LHip LAnkle<LKnee Pelvis< "
        "Spine<Pelvis Head<Neck"
    ),
    # SMPL (Loper et al. 2015): the kinematic tree of the body model.
    "smpl24": (
        "Pelvis< LHip<Pelvis RHip<Pelvis Spine1<Pelvis LKnee<LHip RKnee<RHip Spine2<Spine1 LAnkle<LKnee "
        "RAnkle<RKnee Spine3<Spine2 LFoot<LAnkle RFoot<RAnkle Neck<Spine3 LCollar<Spine3 RCollar<Spine3 Head<Neck "
        "LShoulder<LCollar RShoulder<RCollar LElbow<LShoulder RElbow<RShoulder LWrist<LElbow RWrist<RElbow "
        "LHand<LWrist RHand<RWrist"
    ),
    # Leeds Sports Pose (Johnson and Everingham 2010), left and right as the person's own.
    "lsp14": (
        "RAnkle<RKnee RKnee<RHip RHip<RShoulder LHip<LShoulder LKnee<LHip LAnkle<LKnee RWrist<RElbow "
        "RElbow<RShoulder RShoulder<Neck LShoulder<Neck LElbow<LShoulder LWrist<LElbow Neck< HeadTop<Neck"
    ),
    # MediaPipe's pose landmarker (BlazePose).
    "mediapipe33": (
        "Nose< LEyeInner<Nose LEye<LEyeInner LEyeOuter<LEye REyeInner<Nose REye<REyeInner REyeOuter<REye "
        "LEar<LEyeOuter REar<REyeOuter LMouth<Nose RMouth<Nose LShoulder<Nose RShoulder<Nose LElbow<LShoulder "
        "RElbow<RShoulder LWrist<LElbow RWrist<RElbow LPinky<LWrist RPinky<RWrist LIndex<LWrist RIndex<RWrist "
        "LThumb<LWrist RThumb<RWrist LHip<LShoulder RHip<RShoulder LKnee<LHip RKnee<RHip LAnkle<LKnee RAnkle<RKnee "
        "LHeel<LAnkle RHeel<RAnkle LFootIndex<LAnkle RFootIndex<RAnkle"
    ),
    # OpenPose's BODY_25 (Cao et al. 2019).
    "openpose25": (
        "Nose<Neck Neck<MidHip RShoulder<Neck RElbow<RShoulder RWrist<RElbow LShoulder<Neck LElbow<LShoulder "
        "LWrist<LElbow MidHip< RHip<MidHip RKnee<RHip RAnkle<RKnee LHip<MidHip LKnee<LHip LAnkle<LKnee REye<Nose "
        "LEye<Nose REar<REye LEar<LEye LBigToe<LAnkle LSmallToe<LAnkle LHeel<LAnkle RBigToe<RAnkle "
        "RSmallToe<RAnkle RHeel<RAnkle"
    ),
    # OpenPose's older model, which it calls COCO: COCO's 17 and a neck, in its own order (Cao et al. 2017).
    "openpose18": (
        "Nose<Neck Neck< RShoulder<Neck RElbow<RShoulder RWrist<RElbow LShoulder<Neck LElbow<LShoulder "
        "LWrist<LElbow RHip<Neck RKnee<RHip RAnkle<RKnee LHip<Neck LKnee<LHip LAnkle<LKnee REye<Nose LEye<Nose "
        "REar<REye LEar<LEye"
    ),
    # Halpe's 26 body keypoints (Fang et al. 2022): COCO's, then the middle of the body and the feet.
    "halpe26": (
        "Nose<Neck LEye<Nose REye<Nose LEar<LEye REar<REye LShoulder<Neck RShoulder<Neck LElbow<LShoulder "
        "RElbow<RShoulder LWrist<LElbow RWrist<RElbow LHip<Hip RHip<Hip LKnee<LHip RKnee<RHip LAnkle<LKnee "
        "RAnkle<RKnee Head<Neck Neck<Hip Hip< LBigToe<LAnkle RBigToe<RAnkle LSmallToe<LAnkle RSmallToe<RAnkle "
        "LHeel<LAnkle RHeel<RAnkle"
    ),
    # CMU Panoptic Studio (Joo et al. 2017), "joints19".
    "panoptic19": (
        "Neck<BodyCenter Nose<Neck BodyCenter< LShoulder<Neck LElbow<LShoulder LWrist<LElbow LHip<BodyCenter "
        "LKnee<LHip LAnkle<LKnee RShoulder<Neck RElbow<RShoulder RWrist<RElbow RHip<BodyCenter RKnee<RHip "
        "RAnkle<RKnee LEye<Nose LEar<LEye REye<Nose REar<REye"
    ),
}
"""Set → its joints in order, each written `joint<parent`; the root has no parent."""

LANDMARKS: Final[Mapping[tuple[str, str], str]] = {
    ("h36m17", "Nose"): "NeckNose",  # 8–9 cm above and 7–8 cm before Thorax: the height of the chin
    ("h36m17", "Head"): "MidHead",  # 10 cm above and 4 cm behind that: between the ears
    ("lcr13", "Head"): "MidHead",
    ("mpii16", "Pelvis"): "Hip",
    ("mpi_inf_3dhp28", "Pelvis"): "Hip",
    ("mpi_inf_3dhp28", "Neck"): "NeckBase",
    ("mpi_inf_3dhp28", "Head"): "MidHead",
    ("mpi_inf_3dhp28", "Spine2"): "MpiSpine2",
    ("mpi_inf_3dhp28", "Spine3"): "MpiSpine3",
    ("mpi_inf_3dhp28", "Spine4"): "MpiSpine4",
    ("mpi_inf_3dhp17", "Pelvis"): "Hip",
    ("mpi_inf_3dhp17", "Neck"): "NeckBase",
    ("mpi_inf_3dhp17", "Head"): "MidHead",
    ("smpl24", "Pelvis"): "SmplPelvis",  # about 9 cm above the middle of the hips
    ("smpl24", "Neck"): "SmplNeck",
    ("smpl24", "Head"): "SmplHead",  # the topmost joint of the neck, where the skull turns
    ("lsp14", "Neck"): "NeckBase",
    ("openpose25", "Neck"): "Thorax",
    ("openpose25", "MidHip"): "Hip",
    ("openpose18", "Neck"): "Thorax",
    ("halpe26", "Head"): "HeadTop",
    ("halpe26", "Neck"): "Thorax",
    ("panoptic19", "Neck"): "Thorax",
    ("panoptic19", "BodyCenter"): "Hip",
}
"""(set, joint) → landmark, where the joint's name alone would mislead or another name is the same point."""


class Rule(NamedTuple):
    """One way to derive a landmark: a weighted sum of others. `how` completes "approximated as …"."""

    landmark: str
    sources: tuple[tuple[str, float], ...]
    how: str
    direct: bool = False  # the sources must be joints of the set itself, not derived ones


def _both_sides(landmark: str, sources: tuple[tuple[str, float], ...], how: str) -> tuple[Rule, Rule]:
    """The rule for the left ("L…") and for the right ("R…")."""
    left, right = (
        Rule(side + landmark, tuple((side + name, weight) for name, weight in sources), how.format(side=word))
        for side, word in (("L", "left"), ("R", "right"))
    )
    return left, right


RULES: Final[tuple[Rule, ...]] = (
    Rule("Hip", (("RHip", 0.5), ("LHip", 0.5)), "the point midway between the two hips"),
    Rule("Thorax", (("RShoulder", 0.5), ("LShoulder", 0.5)), "the point midway between the two shoulders"),
    Rule("Spine", (("Hip", 0.5), ("Thorax", 0.5)), "the point midway between mid-hips and mid-shoulders"),
    Rule("MidHead", (("REar", 0.5), ("LEar", 0.5)), "the point midway between the two ears"),
    Rule(
        "MidHead",
        (("UpperNeck", 0.5), ("HeadTop", 0.5)),
        "the point midway between the upper neck and the top of the head, for want of ears",
        direct=True,
    ),
    Rule(
        "MidHead",
        (("NeckBase", 0.5), ("HeadTop", 0.5)),
        "the point midway between the base of the neck and the top of the head, for want of ears",
        direct=True,
    ),
    Rule("MidHead", (("SmplHead", 1.0),), "the joint between neck and skull, about 4 cm too low", direct=True),
    Rule("NeckNose", (("Thorax", 0.5), ("Nose", 0.5)), "the point midway between mid-shoulders and the nose's tip"),
    Rule(
        "NeckNose",
        (("UpperNeck", 1.0),),
        "the upper neck, about 7 cm too far back, for want of a joint on the face",
        direct=True,
    ),
    Rule(
        "NeckNose",
        (("Thorax", 0.5), ("MidHead", 0.5)),
        "the point midway between mid-shoulders and the middle of the head, about 6 cm too far back, for want of a "
        "joint on the face",
    ),
    Rule(
        "Nose",
        (("NeckNose", 2.0), ("Thorax", -1.0)),
        "the point at the height of the chin, moved as far from mid-shoulders again, which doubles its error",
        direct=True,
    ),
    Rule(
        "UpperNeck",
        (("Thorax", 0.5), ("MidHead", 0.5)),
        "the point midway between mid-shoulders and the middle of the head",
    ),
    Rule(
        "HeadTop",
        (("SmplHead", 2.25), ("RShoulder", -0.625), ("LShoulder", -0.625)),
        "the end of the line from mid-shoulders to the joint between neck and skull, extended by 1.25 of its length, "
        "which doubles its error",
        direct=True,
    ),
    Rule(
        "HeadTop",
        (("MidHead", 1.6), ("Thorax", -0.6)),
        "the end of the line from mid-shoulders to the middle of the head, extended by 0.6 of its length, about 5 cm "
        "off where the head is bent",
    ),
    Rule("NeckBase", (("SmplNeck", 1.0),), "the lowest joint of the neck", direct=True),
    Rule("NeckBase", (("Thorax", 1.0),), "the point midway between the shoulders, 3 to 5 cm too low"),
    Rule("SmplNeck", (("NeckBase", 1.0),), "the base of the neck", direct=True),
    Rule("SmplNeck", (("Thorax", 1.0),), "the point midway between the shoulders, about 5 cm too low"),
    Rule("SmplHead", (("MidHead", 1.0),), "the middle of the head, about 4 cm too high"),
    Rule(
        "SmplPelvis",
        (("Hip", 5 / 6), ("Thorax", 1 / 6)),
        "the point a sixth of the way from mid-hips to mid-shoulders, about 9 cm above the hips as in the body model",
    ),
    *_both_sides("Hand", (("Index", 0.5), ("Pinky", 0.5)), "the point midway between the {side} hand's outer knuckles"),
    *_both_sides("BigToe", (("FootIndex", 1.0),), "the {side} foot's tip, within 2 cm of the big toe"),
    *_both_sides("FootIndex", (("BigToe", 1.0),), "the {side} big toe"),
    *_both_sides("Toe", (("BigToe", 1.0),), "the tip of the {side} foot, at the big toe"),
)
"""The derivation rules, tried in this order; a source may itself be derived unless the rule is `direct`."""
