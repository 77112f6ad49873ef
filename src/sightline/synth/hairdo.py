"""Which hair people of some age and sex wear."""

from __future__ import annotations

import numpy as np

from sightline.synth.hair import Hair, HairStyle


def sample_hair(rng: np.random.Generator, *, years: float, female: bool, share: float) -> Hair:
    """Draw a hairdo; with the chance 1 − `share` a bald head."""
    style = _style(rng, years=years, female=female) if rng.random() < share else "bald"
    volume = {"short": (0.008, 0.02), "medium": (0.015, 0.032), "bob": (0.012, 0.024)}.get(style, (0.008, 0.018))
    length = {"bob": rng.uniform(0.50, 0.555), "ponytail": rng.uniform(0.42, 0.55)}.get(style, rng.uniform(0.30, 0.47))
    beard = 0.0
    if not female and years > 17 and rng.random() < 0.35:
        beard = float(rng.choice([0.15, 0.35, 1.0], p=[0.4, 0.3, 0.3]))
    return Hair(
        style=style,
        volume_m=float(rng.uniform(*volume)),
        length_m=float(length),
        fringe=bool(style not in ("receding", "shaved") and rng.random() < (0.45 if years < 15 else 0.25)),
        beard=beard,
        brow_m=float(rng.uniform(0.0028, 0.004) if female else rng.uniform(0.0035, 0.0052)),
    )


def _style(rng: np.random.Generator, *, years: float, female: bool) -> HairStyle:
    names: tuple[HairStyle, ...]
    weights: tuple[float, ...]
    if female:
        names = ("short", "medium", "bob", "long", "bun", "ponytail")
        weights = (0.12, 0.12, 0.2, 0.26, 0.13, 0.17) if years < 60 else (0.4, 0.25, 0.17, 0.05, 0.1, 0.03)
    elif years < 15:
        names = ("short", "medium", "shaved", "bob")
        weights = (0.62, 0.28, 0.07, 0.03)
    else:
        bald = float(np.clip((years - 25) / 60, 0, 0.6))
        names = ("short", "medium", "shaved", "receding", "bald", "bob", "bun")
        weights = (0.58, 0.17, 0.15, 0.8 * bald, 0.3 * bald, 0.04, 0.02)
    shares = np.array(weights)
    return names[rng.choice(len(names), p=shares / shares.sum())]
