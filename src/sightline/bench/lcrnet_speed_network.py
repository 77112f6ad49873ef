"""Frames per second of the whole network, the memory that it takes, and what its regression layer would be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import UInt8

from sightline.bench.lcrnet_proposals import made_anchors, made_proposals
from sightline.bench.lcrnet_speed_decoding import best_of
from sightline.errors import InputError, UsageError
from sightline.methods.lcrnet.decode import integrated
from sightline.methods.lcrnet.heads import Heads
from sightline.methods.lcrnet.network import MOST_PROPOSALS, LcrNet
from sightline.methods.lcrnet.people import looked_at, people_of
from sightline.methods.lcrnet.weights import load_lcrnet
from sightline.recipes.lcrnet import lcrnet_paper, lcrnet_synth
from sightline.skeleton import get_skeleton
from sightline.synth.config import CrowdDraw, street
from sightline.synth.poses import ProceduralPoses
from sightline.synth.stream import Scenes

PEOPLE: Final = 4
RANK: Final = 64
CROWD: Final = 60
_LARGE_LOOK_PX: Final = 640
NOTHING, SMALL, LARGE = "nothing", "320 × 240 px", "6000 × 4000 px"
CROWDED: Final = f"{CROWD} people, looked at in {_LARGE_LOOK_PX} px"
MOST: Final = f"{MOST_PROPOSALS} proposals of {CROWD} people"
KINDS: Final = (NOTHING, SMALL, LARGE, CROWDED, MOST)
"""Whose memory is measured: of the libraries and the network alone; of pictures; of a rendered crowd in a larger look;
and of as many proposals as a picture may have."""
_CHILD: Final = "import sys; from sightline.bench.lcrnet_speed_network import print_peak; print_peak(*sys.argv[1:])"


def the_network(weights: str | None) -> tuple[LcrNet, str]:
    """Return the network of recipe lcrnet-synth and whose weights it has: shipped ones, or random ones.

    Args:
        weights: a name or path; None takes lcrnet-synth where it is there.
    """
    try:
        return load_lcrnet(weights or "lcrnet-synth")[0], weights or "lcrnet-synth"
    except UsageError:
        if weights is not None:
            raise
    config = lcrnet_synth()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LcrNet(config.model, made_anchors(config.anchors)).eval(), "random"


def crowd_pictures(count: int, long_px: int, people: int = PEOPLE) -> list[UInt8[np.ndarray, "height width 3"]]:
    """Return rendered pictures of so many people each, 4 : 3."""
    config = replace(street(), image_sizes=((long_px, 3 * long_px // 4),), crowd=CrowdDraw(people=(people, people)))
    make = Scenes(config=config, poses=ProceduralPoses(), seed=50)
    return [np.asarray(make(index).image) for index in range(count)]


def network_rows(sizes: Sequence[int], *, pictures: int, repeats: int, weights: str | None) -> list[dict[str, Any]]:
    """Return a row per size and number of threads: frames per second, and the milliseconds of both parts."""
    network, whose = the_network(weights)
    before, rows = torch.get_num_threads(), []
    try:
        for size in sizes:
            sized, shown = network.looking_at(size), crowd_pictures(pictures, size)
            for threads in (2, 1):
                torch.set_num_threads(threads)
                rows.append({"what": "network and decoding", "weights": whose, "long_px": size, "threads": threads,
                             **_frames(sized, shown, repeats)})  # fmt: skip
    finally:
        torch.set_num_threads(before)
    return rows


def _frames(network: LcrNet, pictures: Sequence[np.ndarray], repeats: int) -> dict[str, Any]:
    looking, looked = best_of(lambda: list(looked_at(network, pictures)), repeats)
    decoding, people = best_of(lambda: [people_of(each, network) for each in looked], repeats)
    return {
        "frames_per_second": len(pictures) / (looking + decoding),
        "network_ms": 1000 * looking / len(pictures),
        "decoding_ms": 1000 * decoding / len(pictures),
        "proposals": float(np.mean([len(each.proposals.scores) for each in looked])),
        "people": float(np.mean([len(each.scores) for each in people])),
    }


def memory_rows(kinds: Sequence[str], weights: str | None) -> list[dict[str, Any]]:
    """Return the most memory that a process of its own has held for each kind, and how much it is beyond the first."""
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        for kind in kinds:
            crowd = Path(folder) / "crowd.npy"
            if kind == CROWDED:
                np.save(crowd, crowd_pictures(1, _LARGE_LOOK_PX, CROWD)[0])
            words = [sys.executable, "-c", _CHILD, kind, str(crowd), *([] if weights is None else [weights])]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                said = done.stderr.strip().splitlines()
                raise InputError(f"memory of {kind}: the process failed: {said[-1] if said else done.returncode}")
            rows.append({"what": f"memory, {kind}", **json.loads(done.stdout.splitlines()[-1])})
            rows[-1]["beyond_mebibytes"] = rows[-1]["peak_mebibytes"] - rows[0]["peak_mebibytes"]
    return rows


def print_peak(kind: str, crowd: str, weights: str | None = None) -> None:
    """Do one thing, and print the most memory that this process has held: what the process of each kind runs.

    Args:
        kind: one of `KINDS`.
        crowd: file of the picture of a crowd, where that is the kind.
        weights: see `the_network`.
    """
    torch.set_num_threads(1)
    network, whose = the_network(weights)
    proposals = _done(kind, network, Path(crowd))
    print(json.dumps({"weights": whose, "proposals": proposals, "peak_mebibytes": _peak_mebibytes()}))


def _peak_mebibytes() -> float:
    """The most memory that this process has held at a time.

    Linux counts what its parent held into `getrusage`, and not into this line of its status.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _done(kind: str, network: LcrNet, crowd: Path) -> int:
    if kind == NOTHING:
        return 0
    if kind == MOST:
        proposals = made_proposals(MOST_PROPOSALS, people=CROWD, anchors=network.anchors, boxes=10 * CROWD)
        integrated(proposals, network.skeleton)
        return len(proposals.scores)
    if kind == CROWDED:
        network, picture = network.looking_at(_LARGE_LOOK_PX), np.load(crowd)
    else:
        width, height = (int(word) for word in kind.split()[:3:2])
        picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    (looked,) = looked_at(network, [picture])
    people_of(looked, network)
    return len(looked.proposals.scores)


def regression_rows() -> list[dict[str, Any]]:
    """Return what regression takes in the paper's network: for all classes at once, as asked for, of a rank.

    Parameters (single precision) of both estimates' layers and of what sums up the first one; numbers of a picture are
    what a layer gives for its boxes, of which only those of classes that score enough are looked at, 500 at least.
    """
    config = lcrnet_paper()
    model, size, classes = config.model, 5 * len(get_skeleton(config.skeleton)), 2 * config.anchors
    asked = 500 * size
    with torch.device("meta"):
        heads = {rank: Heads(1, model.hidden, classes, size, summary=model.summary, rank=rank) for rank in (0, RANK)}
    counts = {
        rank: sum(value.numel() for name, value in its.named_parameters() if "pose" in name)
        for rank, its in heads.items()
    }
    of_background = 2 * size * (model.hidden + 1) + model.summary * size
    every = model.proposals * (classes + 1) * size
    kinds = (
        ("all classes and background at once", counts[0] + of_background, every),
        ("classes that are asked for", counts[0], asked),
        (f"the same of rank {RANK}", counts[RANK], asked),
    )
    return [
        {"what": f"regression layer, {name}", "classes": classes, "parameters": parameters,
         "mebibytes": 4 * parameters / 2**20, "numbers_of_a_picture": numbers, "numbers_mebibytes": 4 * numbers / 2**20}
        for name, parameters, numbers in kinds
    ]  # fmt: skip
