"""Bodies: a mesh and a skeleton for every shape, posed by the rotations of bones; from joints back to rotations."""

from sightline.body._parts import part_of_bone, part_of_face

__all__ = ["part_of_bone", "part_of_face"]
