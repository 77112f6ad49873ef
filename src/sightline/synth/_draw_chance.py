"""Sources of chance: one for each purpose of each picture, so that what one part of a scene draws moves no other."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a source of chance is for."""

    SHAPE = 1
    CLOTHES = 2
    POSE = 3
    RECOMBINE = 4
    MIRROR = 5
    HANDS = 6
    PEOPLE = 7
    LENS = 8
    VIEW = 9
    NEIGHBOUR = 10
    BACKGROUND = 11
    BACKDROP = 12
    GROUND = 13
    WALLS = 14
    LIGHT = 15
    SENSOR = 16
    SHUTTER = 17
    PROPS = 18
    SEATS = 19
    NOISE = 20
    TOGETHER = 21


def source(seed: int, index: int, purpose: Purpose, person: int = 0) -> np.random.Generator:
    """Return the source for a purpose of a picture (or, for figures, of a group of pictures), and of a person in it."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, index, int(purpose), person))))
