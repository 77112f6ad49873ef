"""Where networks run."""

from __future__ import annotations

import torch

from sightline.errors import UsageError


def torch_device(name: str) -> torch.device:
    """Return the PyTorch device of that name; `UsageError`, naming those there are, where there is no such one."""
    there = [
        "cpu",
        *(["cuda"] if torch.cuda.is_available() else []),
        *(["mps"] if torch.backends.mps.is_available() else []),
    ]
    wrong = f"device: expected {' or '.join(there)} on this machine, got '{name}'"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(wrong) from error
    if device.type == "meta":
        raise UsageError(wrong)
    return device
