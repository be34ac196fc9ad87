"""Rendering of the files below ``templates/``."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from provisioner.core.resources import data_dir


def render(name: str, **values: object) -> str:
    """The template ``name`` (a path below ``templates/``) with ``values`` put in.

    Raises jinja2.UndefinedError when the template uses a value that was not given: an empty string in a
    configuration file is harder to find than an exception.
    """
    return str(_environment().get_template(name).render(**values))


@lru_cache(maxsize=1)
def _environment() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_dir("templates")),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
    )
