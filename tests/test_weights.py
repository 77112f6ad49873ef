"""Weights and their passport: what is written is loaded bit by bit, and nothing else is taken for it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline.errors import InputError, UsageError
from sightline.formats import weights
from sightline.formats.weights import find_passport, read_passport, read_weights, shipped_weights, write_weights
from sightline.methods.abspose.estimator_weights import load_estimator
from sightline.methods.abspose.model import AbsPoseConfig, AbsPoseLifter
from sightline.methods.abspose.weights import load_abspose, load_lifter
from sightline.methods.deeplift.machine_weights import load_machine
from sightline.methods.deeplift.weights import load_prior
from sightline.methods.lcrnet.weights import load_lcrnet
from sightline.methods.perspose.weights import load_perspose
from sightline.training.config import config_to_json

LOADERS = {"perspose": load_perspose, "lcrnet": load_lcrnet, "integral": load_estimator, "cpm": load_machine}
LARGEST_MB = 12
ALL_MB = 45
FACTS: dict[str, Any] = {
    "name": "small",
    "method": "abspose",
    "licence": "CC0",
    "trained_on": "nothing – “really”",
    "recipe": {"steps": 0, "nested": {"rate": 1e-3, "none": None}},
    "model": config_to_json(AbsPoseConfig(width=8, dropout=0.1)),
    "expected": {"test": {"mpjpe_mm": 500.0}},
    "command": "sightline train small",
    "date": "2026-01-01",
    "version": "0.1",
}


def lifter() -> AbsPoseLifter:
    """A network that has never been trained, with running statistics that differ from their start."""
    network = AbsPoseLifter(AbsPoseConfig(width=8, dropout=0.1))
    network(torch.randn(64, 17, 2) * 100)
    return network.eval()


@pytest.fixture
def state() -> dict[str, Tensor]:
    return lifter().state_dict()


def test_what_is_written_is_read(state: dict[str, Tensor], tmp_path: Path) -> None:
    written = write_weights(state, tmp_path / "new" / "folder", **FACTS)
    folder = tmp_path / "new" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == ["small.json", "small.safetensors"]
    passport = read_passport(folder / "small.json")
    assert passport == written
    assert {name: getattr(passport, name) for name in FACTS} == FACTS
    assert passport.sha256 == hashlib.sha256((folder / "small.safetensors").read_bytes()).hexdigest()
    tensors = read_weights(passport, folder)
    assert tensors.keys() == state.keys()
    for key, value in state.items():
        assert_close(tensors[key], value.half().float() if value.is_floating_point() else value, rtol=0, atol=0)


def test_reading_and_writing_again_changes_nothing(state: dict[str, Tensor], tmp_path: Path) -> None:
    first = write_weights(state, tmp_path / "a", **FACTS)
    second = write_weights(read_weights(first, tmp_path / "a"), tmp_path / "b", **FACTS)
    assert second == first
    assert (tmp_path / "b/small.json").read_bytes() == (tmp_path / "a/small.json").read_bytes()


@pytest.mark.parametrize("ending", [".json", ".safetensors"])
def test_a_lifter_is_loaded_by_the_path_of_either_file(ending: str, tmp_path: Path) -> None:
    network = lifter()
    write_weights(network.state_dict(), tmp_path, **FACTS)
    loaded, passport = load_abspose(tmp_path / f"small{ending}")
    assert passport.name == "small"
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    points = 100 * torch.randn(5, 17, 2)
    for got, expected in zip(loaded(points), network(points), strict=True):
        assert_close(got, expected, rtol=0.02, atol=0.01)


def test_weights_inside_the_package_are_found_by_name(
    state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_weights(state, tmp_path, **FACTS)
    monkeypatch.setattr(weights, "shipped_weights", lambda: tmp_path)
    assert find_passport("small") == tmp_path / "small.json"
    with pytest.raises(UsageError, match="weights: expected one of small, or the path of a passport, got 'large'"):
        find_passport("large")
    with pytest.raises(UsageError, match=r"large\.json: expected the passport of weights there"):
        find_passport(tmp_path / "large.safetensors")


def test_values_beyond_half_precision_are_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    key = next(key for key, value in state.items() if value.is_floating_point())
    for value in (65504.0, -65504.0):
        write_weights({**state, key: torch.full_like(state[key], value)}, tmp_path / "fits", **FACTS)
    for value in (1e6, float("nan"), float("-inf")):
        with pytest.raises(ValueError, match=f"{key}: has values beyond half precision"):
            write_weights({**state, key: torch.full_like(state[key], value)}, tmp_path / "new", **FACTS)
    assert not (tmp_path / "new").exists()


def changed(passport: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {**passport, **values}


PASSPORTS: dict[str, tuple[Any, str]] = {
    "unknown key": (lambda p: changed(p, price=3), 'unknown key "price"; known are'),
    "missing key": (lambda p: {k: v for k, v in p.items() if k != "licence"}, 'the key "licence" is missing'),
    "other hash": (lambda p: changed(p, sha256="0" * 64), "its sha256 starts with .* says 000000000000"),
    "other file": (
        lambda p: changed(p, file="gone.safetensors"),
        r"gone\.safetensors: expected the weights of 'small'",
    ),
    "other method": (lambda p: changed(p, method="psychic"), "expected weights of method 'abspose', got 'psychic'"),
    "other width": (lambda p: changed(p, model={**p["model"], "width": 16}), "do not fit together"),
    "unknown option": (lambda p: changed(p, model={**p["model"], "colour": "red"}), "do not fit together"),
    "list": (lambda p: [p], "expected an object"),
}


@pytest.mark.parametrize("name", PASSPORTS)
def test_a_passport_of_something_else_is_refused(name: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    change, message = PASSPORTS[name]
    write_weights(state, tmp_path, **FACTS)
    path = tmp_path / "small.json"
    path.write_text(json.dumps(change(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        load_abspose(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.999])
def test_a_cut_off_file_is_refused_even_by_its_own_hash(share: float, state: dict[str, Tensor], tmp_path: Path) -> None:
    write_weights(state, tmp_path, **FACTS)
    path, passport = tmp_path / "small.safetensors", tmp_path / "small.json"
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=r"small\.safetensors: its sha256"):
        load_abspose(passport)
    content = json.loads(passport.read_text(encoding="utf-8"))
    passport.write_text(json.dumps({**content, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))
    with pytest.raises(InputError, match=r"small\.safetensors: expected a safetensors file"):
        load_abspose(passport)


@pytest.mark.parametrize("at", [1, 2])
def test_an_interrupted_write_is_never_taken_for_weights(
    at: int, state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before the first rename, the old pair stays; between the two, the checksum tells."""
    write_weights(state, tmp_path, **FACTS)
    replace, calls = os.replace, []

    def stopping(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        replace(*arguments)

    new = {key: value + 1 if value.is_floating_point() else value for key, value in state.items()}
    monkeypatch.setattr(os, "replace", stopping)
    with pytest.raises(KeyboardInterrupt):
        write_weights(new, tmp_path, **FACTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.json", "small.safetensors"]
    passport = read_passport(tmp_path / "small.json")
    if at == 1:
        assert_close(read_weights(passport, tmp_path), {k: v.half().to(v) for k, v in state.items()}, rtol=0, atol=0)
    else:
        with pytest.raises(InputError, match="its sha256"):
            read_weights(passport, tmp_path)


def test_shipped_weights_are_small_free_and_whole() -> None:
    passports = sorted(shipped_weights().glob("*.json"))
    if not passports:
        pytest.skip("this checkout ships no weights")
    sizes = [path.stat().st_size for path in shipped_weights().iterdir()]
    assert max(sizes) <= LARGEST_MB * 2**20
    assert sum(sizes) <= ALL_MB * 2**20
    assert {path.stem for path in passports} == {path.stem for path in shipped_weights().glob("*.safetensors")}
    for path in passports:
        passport = read_passport(path)
        if passport.method == "deeplift":
            load_prior(path.stem)  # refuses what is not finite
        else:
            load: Any = LOADERS.get(passport.method, load_lifter)
            network, _ = load(path.stem)
            assert all(parameter.isfinite().all() for parameter in network.parameters())
        assert (passport.name, passport.licence) == (path.stem, "Apache-2.0")
        assert passport.trained_on
        assert passport.expected
