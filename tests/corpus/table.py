"""Make a table for corpus.py of the eBPF programs in work trees.

    python -m tests.corpus.table SOURCES [--count N] [--without TABLE.tsv] > TABLE.tsv

SOURCES is as for corpus.py, with directories `OWNER/NAME`. Tests, vendored copies and files that differ only in
comments and white space are left out. Of more than N programs those are taken whose paths have the smallest
digests: a sample without a choice of ours. All are expected to run with no option (class A).
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from provisioner.bpf.ctext import without_comments
from tests.corpus.corpus import read_table

_NOT_PROGRAMS = re.compile(r"(?:^|/)(?:tests?|testdata|selftests?|vendor|internal)/|[._]test\.|/test-")
_SECTION = re.compile(r'^[ \t]*SEC\("(?!license|version|\.?maps)[^".][^"]*"\)', re.MULTILINE)


def programs(sources: Path) -> Iterator[tuple[str, str]]:
    """Repository and path of each program, sorted; of equal ones the first."""
    seen = set()
    for file in sorted(sources.glob("*/*/**/*.c")):
        owner, name, *rest = file.relative_to(sources).parts
        path = "/".join(rest)
        if not file.is_file() or _NOT_PROGRAMS.search(path):
            continue
        text = without_comments(file.read_text(errors="replace"))
        content = "".join(text.split())
        if _SECTION.search(text) and content not in seen:
            seen.add(content)
            yield f"{owner}/{name}", path


def sample(found: list[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """At most ``count`` of them, the same ones every time, in their order."""
    by_digest = sorted(found, key=lambda row: hashlib.sha256("/".join(row).encode()).digest())
    chosen = set(by_digest[:count])
    return [row for row in found if row in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", type=Path)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--without", type=Path, help="a table whose programs are left out")
    arguments = parser.parse_args()
    known = {(case.repo, case.path) for case in read_table(arguments.without)} if arguments.without else set()
    print("repo\tpath\texpected_class")
    for repo, path in sample([row for row in programs(arguments.sources) if row not in known], arguments.count):
        print(f"{repo}\t{path}\tA")


if __name__ == "__main__":
    main()
