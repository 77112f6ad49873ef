"""The type checker behind jaxtyping's import hook: beartype, where an int passes for a float (PEP 484's tower)."""

from pathlib import Path

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked_modules() -> list[str]:
    """Every room and file of Sightline but `*_kernels`: they are warp's, whose compiler reads plain types."""
    package = Path(__file__).resolve().parents[1] / "src" / "sightline"
    kernels = {path.parent for path in package.rglob("*_kernels.py")} | {package}
    files = [path for path in package.rglob("*.py") if path.parent in kernels and path.name != "__init__.py"]
    folders = [path.parent for path in package.rglob("__init__.py") if path.parent not in kernels]
    names = [p.with_suffix("") for p in files if not p.stem.endswith("_kernels")] + folders
    return sorted(".".join(("sightline", *name.relative_to(package).parts)) for name in names)
