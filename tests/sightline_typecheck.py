"""The type checker behind jaxtyping's import hook: beartype, where an int passes for a float (PEP 484's tower)."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
