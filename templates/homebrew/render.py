"""Prints the Homebrew formula of a release: render.py LOCK SDIST URL HOMEPAGE

LOCK is a pylock.toml of pyproject.toml's dependencies, SDIST the source archive that ``python -m build`` made, URL
where it is published. Homebrew builds every Python library from source, so each has a ``resource`` with the digest
that the lock pins, but for those that Homebrew has formulae of.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli

from provisioner.core.templates import render

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
#: Python libraries that are Homebrew formulae, or come with one: all hard to build.
FORMULAE = {"cryptography": "cryptography", "cffi": "cffi", "pycparser": "cffi"}
#: What the libraries that are built need (pynacl, pyyaml), and what the tool itself does.
NEEDED = {"libsodium", "libyaml", "python@3.13", "qemu"}


def render_formula(
    project: Mapping[str, Any], lock: Mapping[str, Any], *, url: str, sha256: str, homepage: str
) -> str:
    """The formula's text from the contents of pyproject.toml and pylock.toml.

    Raises ValueError when the lock lacks one of the project's dependencies, or a source archive of one.
    """
    packages = {package["name"]: package for package in lock["packages"]}
    missing = [name for name in dependencies(project) if name not in packages]
    if missing:
        raise ValueError(f"the lock does not have: {', '.join(missing)}")
    built = [package for name, package in packages.items() if name not in FORMULAE]
    bare = [package["name"] for package in built if "sdist" not in package]
    if bare:
        raise ValueError(f"no source archive is known of: {', '.join(bare)}")
    brewed = {FORMULAE[name] for name in packages if name in FORMULAE}
    return render(
        "homebrew/ebpf-dev.rb.j2",
        homepage=homepage,
        url=url,
        sha256=sha256,
        license=project["project"]["license"],
        formulae=sorted(NEEDED | brewed),
        resources=[
            {
                "name": package["name"],
                "url": package["sdist"]["url"],
                "sha256": package["sdist"]["hashes"]["sha256"],
            }
            for package in sorted(built, key=lambda package: str(package["name"]))
        ],
    )


def dependencies(project: Mapping[str, Any]) -> list[str]:
    """The names of the project's dependencies, as locks spell them."""
    words = (re.match(r"[\w.-]+", line) for line in project["project"]["dependencies"])
    return [re.sub(r"[-_.]+", "-", word[0]).lower() for word in words if word]


def main(argv: Sequence[str]) -> int:
    if len(argv) != 4:
        print(__doc__, file=sys.stderr)  # noqa: T201
        return 2
    lock, sdist, url, homepage = argv
    project, archive = tomli.loads(PROJECT.read_text()), Path(sdist)
    version = project["project"]["version"]
    if not (archive.name.endswith(f"-{version}.tar.gz") and url.endswith(f"-{version}.tar.gz")):
        print(f"pyproject.toml says version {version}; the archive and its URL must end so.", file=sys.stderr)  # noqa: T201
        return 1
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    locked = tomli.loads(Path(lock).read_text())
    print(render_formula(project, locked, url=url, sha256=digest, homepage=homepage), end="")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
