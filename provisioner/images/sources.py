"""Where a base disk comes from: the cache, the official cloud image, else distribution packages."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

from provisioner.core.addresses import HOST_AS_SEEN_BY_GUEST, for_guest
from provisioner.core.errors import HostError
from provisioner.core.files import locked
from provisioner.core.paths import Paths, ensure_dir
from provisioner.core.reporter import Reporter
from provisioner.core.settings import Settings
from provisioner.guest.identity import Identity
from provisioner.images.base import BaseImage, Draft, complete, drafted, find_base
from provisioner.images.build import build_base, plan_build, plan_digest
from provisioner.images.catalogue import CloudRow, Image, RemoteFile
from provisioner.images.disk import check_space, copy_as_qcow2, make_qcow2
from provisioner.images.download import Link, download
from provisioner.images.golden import foreign_cmdline
from provisioner.images.hostapt import read_host_apt
from provisioner.images.overlay import guest_templates
from provisioner.images.seed import make_seed

#: Failures that no other source would mend.
_FINAL = {"disk-full"}


@dataclass(frozen=True)
class Source:
    """One way to a base disk. ``key`` names its place in the cache, ``fill`` makes it."""

    key: str
    title: str
    fill: Callable[[Draft, Reporter], None]


def ensure_base(
    image: Image, settings: Settings, identity: Identity, paths: Paths, reporter: Reporter
) -> BaseImage:
    """The base disk of an image, from the first source that gives it.

    A source that cannot is told in one line and the next one is asked. Raises HostError("no-image") with
    every source's reason, or "disk-full" at once.
    """
    reasons: list[str] = []
    sources = list(_sources(image, settings, identity, paths, reasons))
    for source in sources:
        if base := find_base(paths.images / source.key):
            return _with_seed(base, identity)
    for index, source in enumerate(sources):
        try:
            return _with_seed(_make(source, settings.image, paths, reporter), identity)
        except HostError as exc:
            if exc.code in _FINAL:
                raise
            reasons.append(f"{source.title}: {exc.brief}")
            following = f"; {sources[index + 1].title} next" if index + 1 < len(sources) else ""
            say = reporter.warn if exc.code == "digest-mismatch" else reporter.note
            say(f"No {source.title}: {exc.brief}{following}.")
    raise HostError(
        f"The image {image.name} cannot be had",
        code="no-image",
        details="\n".join(reasons),
        hint="Check the network. Behind a proxy set http_proxy and https_proxy; `ebpf-dev doctor` looks at "
        "the tools that building from packages needs.",
    )


def guest_sources(image: Image, mirror: str | None, host: str = HOST_AS_SEEN_BY_GUEST) -> str:
    """The apt entries that make a guest use the user's ``mirror``; "" leaves it its own.

    ``host`` is the host as the guest sees it.
    """
    if mirror is None or image.build is None:
        return ""
    components = " ".join(image.build.components)
    return f"deb {for_guest(mirror, host)} {image.build.suite} {components}\n"


def _sources(
    image: Image, settings: Settings, identity: Identity, paths: Paths, reasons: list[str]
) -> Iterator[Source]:
    for row in image.rows_for(settings.arch):
        link = Link(settings.proxy, settings.ca)
        yield _cloud_source(_mirrored(row, settings.image_mirror), image, paths, link)
    if image.build is None:
        return
    try:
        yield _package_source(image, settings, identity)
    except HostError as exc:
        reasons.append(f"packages: {exc.brief}")


def kind_of(row: CloudRow) -> str:
    """What kind of source it is, in words."""
    if _is_local(row):
        return "image of your own"
    return "pinned cloud image" if row.disk.digest else "rolling cloud image"


def _is_local(row: CloudRow) -> bool:
    return row.disk.location.startswith("file:")


def _cloud_source(row: CloudRow, image: Image, paths: Paths, link: Link) -> Source:
    digest = hashlib.sha256(f"{row.disk.location}\n{row.disk.digest}".encode()).hexdigest()[:16]
    if _is_local(row):
        return _local_source(row, image, Path(url2pathname(urlsplit(row.disk.location).path)))

    def fill(draft: Draft, reporter: Reporter) -> None:
        _take(row.disk, draft.disk, paths, reporter, link)
        make_qcow2(draft.disk)
        if row.kernel and row.initrd:
            _take(row.kernel, draft.kernel, paths, reporter, link)
            _take(row.initrd, draft.initrd, paths, reporter, link)
            draft.cmdline = foreign_cmdline(row.root)
        draft.source, draft.needs_seed = row.disk.location, True

    return Source(f"{image.name}-cloud-{digest}", kind_of(row), fill)


def _local_source(row: CloudRow, image: Image, path: Path) -> Source:
    """A disk image of the user's own, copied: instances stand on it, and it may be changed or go."""
    facts = path.stat()
    stamp = hashlib.sha256(f"{path} {facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()[:16]

    def fill(draft: Draft, reporter: Reporter) -> None:
        with reporter.step(f"Copying {path.name}"):
            check_space(draft.directory, facts.st_blocks * 512, "to copy the image")
            copy_as_qcow2(path, draft.disk)
        draft.source, draft.needs_seed = str(path), True

    return Source(f"{image.name}-own-{stamp}", kind_of(row), fill)


def _package_source(image: Image, settings: Settings, identity: Identity) -> Source:
    assert image.build is not None
    plan = plan_build(
        image.build,
        image.packages[settings.arch],
        settings.arch,
        read_host_apt(),
        authorized_key=identity.client_public,
        host_private=identity.host_private,
        host_public=identity.host_public,
        mirror=settings.mirror,
        proxy=settings.proxy,
    )
    key = f"{image.name}-packages-{plan_digest(plan, guest_templates())}"
    return Source(key, "build from packages", lambda draft, reporter: build_base(plan, draft, reporter))


def _mirrored(row: CloudRow, mirror: str | None) -> CloudRow:
    """The row with its locations on another server that keeps the same paths."""
    if mirror is None or _is_local(row):
        return row

    def move(file: RemoteFile | None) -> RemoteFile | None:
        return file and replace(file, location=move_url(file.location, mirror))

    return replace(
        row,
        disk=replace(row.disk, location=move_url(row.disk.location, mirror)),
        kernel=move(row.kernel),
        initrd=move(row.initrd),
    )


def move_url(location: str, mirror: str) -> str:
    """The same path on another server, below that server's own path.

    >>> move_url("https://images.example/cloud/a.qcow2", "http://127.0.0.1:8000/mirror/")
    'http://127.0.0.1:8000/mirror/cloud/a.qcow2'
    """
    base = urlsplit(mirror)
    return urlunsplit(base._replace(path=base.path.rstrip("/") + urlsplit(location).path))


def _make(source: Source, image: str, paths: Paths, reporter: Reporter) -> BaseImage:
    directory = paths.images / source.key
    on_wait = lambda: reporter.note("Another ebpf-dev is making this image; waiting.")  # noqa: E731
    with locked(paths.locks / f"image-{source.key}.lock", on_wait):
        if base := find_base(directory):
            return base
        ensure_dir(paths.images)
        with drafted(directory) as draft:
            source.fill(draft, reporter)
            draft.facts = {**draft.facts, "image": image}
            complete(draft, directory)
    base = find_base(directory)
    assert base is not None
    return base


def _take(file: RemoteFile, target: Path, paths: Paths, reporter: Reporter, link: Link) -> None:
    part = download(file, paths.downloads, reporter, link)
    shutil.move(part, target)
    part.with_suffix(".json").unlink(missing_ok=True)


def _with_seed(base: BaseImage, identity: Identity) -> BaseImage:
    if not base.needs_seed:
        return base
    seed = base.disk.with_name(f"seed-{identity.fingerprint}.iso")
    return replace(base, seed=seed if seed.exists() else make_seed(seed, identity))
