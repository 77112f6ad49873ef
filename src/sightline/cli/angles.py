"""`sightline angles`: how far off the optical axis the people of data sets are seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sightline.cli.options import MaybeOut, checked_output, print_json
from sightline.errors import UsageError

if TYPE_CHECKING:
    from sightline.angles import Summary


@dataclass(frozen=True, kw_only=True)
class Angles:
    """Tell how far off the optical axis people are seen: φ, by data set, as figures and a histogram."""

    data: Annotated[Positional[tuple[Path, ...]], arg(metavar="DATA...")]
    """Folders that `sightline render` made, and poses files (.json, .npz), which hold the cameras of real people."""
    out: MaybeOut = None
    """Picture of the histograms over each other, ending in .png, .pdf or .svg."""
    names: tuple[str, ...] = ()
    """What to call the data sets, in their order; by their files and folders when left out."""
    bin_deg: float = 2.0
    """Width of the histogram's bins, degrees."""
    json: bool = False
    """Print the figures and the histograms as JSON: degrees, and shares as fractions."""

    def run(self) -> int:
        """Read all sets, summarise them, draw, print."""
        from sightline.angles import FORMATS, bin_edges_deg, read_angles, summary_of, write_histogram

        names = self._names()
        if self.out is not None:
            checked_output(self.out, FORMATS)
        found = [read_angles(path) for path in self.data]
        edges = bin_edges_deg(found, self.bin_deg)
        sets = [summary_of(angles, name, edges) for angles, name in zip(found, names, strict=True)]
        if self.out is not None:
            write_histogram(sets, edges, self.out)
        if self.json:
            print_json({"bin_edges_deg": edges.tolist(), "sets": [its.to_dict() for its in sets]})
        else:
            print("\n".join(_table(sets)))
            if self.out is not None:
                print(f"histogram of {len(sets)} {'set' if len(sets) == 1 else 'sets'} → {self.out}")
        return 0

    def _names(self) -> tuple[str, ...]:
        """What to call the sets: given, or their files' names, or their paths where two files have one name."""
        if not self.data:
            raise UsageError("DATA: expected folders of rendered pictures or poses files, got none")
        twice = [path for path, count in Counter(path.resolve() for path in self.data).items() if count > 1]
        if twice:
            raise UsageError(f"{twice[0]}: expected each data set once, got it twice")
        if not self.names:
            own = tuple(path.resolve().name for path in self.data)
            return own if len(set(own)) == len(own) else tuple(map(str, self.data))
        if len(self.names) != len(self.data):
            raise UsageError(f"names: expected one for each of the {len(self.data)} data sets, got {len(self.names)}")
        if len(set(self.names)) < len(self.names):
            raise UsageError(f"names: expected each once, got {', '.join(self.names)}")
        return self.names


def _table(sets: Sequence[Summary]) -> Iterator[str]:
    """A row for each set, columns aligned; then who was left out."""
    from sightline.angles.summary import BEYOND_DEG, QUANTILES_PERCENT

    quantiles = (f"{share} %" for share in QUANTILES_PERCENT)
    rows: list[tuple[str, ...]] = [
        ("φ in degrees", "people", "mean", *quantiles, *(f"> {limit}°" for limit in BEYOND_DEG))
    ]
    for its in sets:
        figures = (f"{value:.1f}" for value in (its.mean_deg, *its.quantiles_deg))
        rows.append((its.name, str(its.people), *figures, *(f"{share:.1%}" for share in its.beyond)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        aligned = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join((name.ljust(widths[0]), *aligned))
    for its in sets:
        if its.left_out:
            yield f"{its.name}: {its.left_out} more not counted, since they are hidden or partly behind the camera"
