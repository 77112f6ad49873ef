"""Weights with a passport: a safetensors file in half precision and a JSON beside it that says what it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from sightline.errors import InputError, UsageError
from sightline.formats.atomic import atomic_path
from sightline.formats.strict import check_keys, load_json

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Passport:
    """Where weights come from, what may be done with them and what they score."""

    name: str
    """Name of the weights, also of the file without its ending."""
    method: str
    """Room that reads them, such as "abspose"."""
    file: str
    """Name of the safetensors file beside the passport."""
    sha256: str
    licence: str
    trained_on: str
    """Data, in words, with the acknowledgements their licences ask for."""
    recipe: Mapping[str, Any]
    """The whole configuration of the run."""
    model: Mapping[str, Any]
    """Configuration of the network."""
    expected: Mapping[str, Mapping[str, float]]
    """Scores per test set, metrics in millimetres."""
    command: str
    date: str
    version: str
    """Version of Sightline that trained them."""


def shipped_weights() -> Path:
    """Folder of the weights inside the package."""
    return Path(str(files("sightline") / "assets" / "weights"))


def find_passport(name_or_path: str | Path) -> Path:
    """Return the passport's path of weights given by name (inside the package) or by the path of either file.

    Raises:
        UsageError: if there is no such passport; the message lists the names there are.
    """
    path = Path(name_or_path)
    candidate = path.with_suffix(".json") if path.suffix else shipped_weights() / f"{name_or_path}.json"
    if candidate.exists():
        return candidate
    if path.suffix:
        raise UsageError(f"{candidate}: expected the passport of weights there; give a name or an existing file")
    names = ", ".join(sorted(found.stem for found in shipped_weights().glob("*.json"))) or "none"
    raise UsageError(f"weights: expected one of {names}, or the path of a passport, got '{name_or_path}'")


def read_passport(path: Path) -> Passport:
    """Read and check a passport.

    Raises:
        InputError: if it is not one.
    """
    value = load_json(path)
    keys = tuple(Passport.__dataclass_fields__)
    check_keys(value, keys, (), str(path))
    return Passport(**value)


def read_weights(passport: Passport, folder: Path) -> dict[str, Tensor]:
    """Return a passport's tensors in 32 bits, after its checksum was verified.

    Raises:
        InputError: if the file is missing, cut off or not the one that the passport was written for.
    """
    path = folder / passport.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: expected the weights of '{passport.name}' there ({error.strerror})") from error
    found = hashlib.sha256(data).hexdigest()
    if found != passport.sha256:
        raise InputError(
            f"{path}: its sha256 starts with {found[:12]}, the passport of '{passport.name}' says "
            f"{passport.sha256[:12]}; fetch or train the weights again"
        )
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise InputError(f"{path}: expected a safetensors file ({error})") from error
    return {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}


def write_weights(state: Mapping[str, Tensor], folder: Path, **facts: Any) -> Passport:
    """Write `NAME.safetensors` in half precision and its passport `NAME.json`.

    Args:
        state: a network's state dict.
        folder: where both files go; it is made.
        facts: the passport's fields except `file` and `sha256`.

    Raises:
        ValueError: if a value does not fit half precision.
    """
    half = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    half = {key: value.half() if value.is_floating_point() else value for key, value in half.items()}
    for key, value in half.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ValueError(f"{key}: has values beyond half precision, which the weights are shipped in")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{facts['name']}.safetensors"
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(half))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    passport = Passport(file=path.name, sha256=digest, **facts)
    with atomic_path(folder / f"{passport.name}.json") as temporary:
        temporary.write_text(json.dumps(asdict(passport), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return passport


def load_network(
    name_or_path: str | Path, method: str, build: Callable[[Passport], Network]
) -> tuple[Network, Passport]:
    """Return a trained network in evaluation mode on the CPU, and its passport.

    Args:
        name_or_path: weights inside the package by name, or the path of a passport or its safetensors file.
        method: whose weights they must be.
        build: makes the network that a passport tells of, in which its weights are put.

    Raises:
        UsageError: if there are no such weights.
        InputError: if the files are broken or belong to another method or network.
    """
    path = find_passport(name_or_path)
    passport = read_passport(path)
    if passport.method != method:
        raise InputError(f"{path}: expected weights of method '{method}', got '{passport.method}'")
    try:
        network = build(passport)
        network.load_state_dict(read_weights(passport, path.parent), strict=True)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: its network and its weights do not fit together ({reason})") from error
    return network.eval().requires_grad_(False), passport


def model_settings(passport: Passport) -> dict[str, Any]:
    """Return what a network is made of, as its configuration takes it: lists are tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in passport.model.items()}
