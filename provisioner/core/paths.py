"""Where everything is kept: the only place that spells a path, with who writes it and who may delete it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.host import this_host

APP = "ebpf-dev"
#: Bytes of the directory for sockets: a name of 11 fits behind it, and the 17 that OpenSSH appends to its own.
_SOCKET_DIR_MAX = 103 - 11 - 17


@dataclass(frozen=True)
class Paths:
    """The directories of one user (or of one ``EBPF_DEV_HOME``).

    Directories are made 0700 by ``ensure_dir`` when first written to; nothing here touches the disk.
    """

    config: Path
    cache: Path
    data: Path
    runtime: Path
    lima: Path
    """``LIMA_HOME`` of our own: disks and sockets of Lima's instances, removed by ``delete``. Kept short."""

    @property
    def config_file(self) -> Path:
        """User configuration; written by the user only."""
        return self.config / "config.yaml"

    @property
    def downloads(self) -> Path:
        """Cloud images while they arrive (NAME.part); may be deleted whenever nothing is running."""
        return self.cache / "downloads"

    @property
    def templates(self) -> Path:
        """Machines saved just after their boot (one directory a key), for others to go on from; may be deleted."""
        return self.cache / "templates"

    @property
    def identity(self) -> Path:
        """Our client key and the host key planted into every image; deleting it orphans all goldens."""
        return self.data / "identity"

    @property
    def images(self) -> Path:
        """Base disks (one directory a key); backing files of goldens, so removed by ``images prune`` only."""
        return self.data / "images"

    @property
    def goldens(self) -> Path:
        """Provisioned disks (one directory a key); backing files of instances."""
        return self.data / "goldens"

    @property
    def instances(self) -> Path:
        """One directory an instance; removed by ``delete``."""
        return self.data / "instances"

    @property
    def logs(self) -> Path:
        """Kept verifier logs and build logs; may be deleted at any time."""
        return self.data / "logs"

    @property
    def locks(self) -> Path:
        """Lock files (flock); may be deleted when nothing is running."""
        return self.data / "locks"

    def warm_socket(self, name: str) -> Path:
        """Where the open SSH connection to an instance is reached; made and removed by OpenSSH's master."""
        return self.runtime / f"{hashlib.sha256(name.encode()).hexdigest()[:8]}.s"

    def warm_lock(self, name: str) -> Path:
        """Held by whoever opens or closes that connection; may be deleted when nothing is running."""
        return self.locks / f"warm-{name}.lock"

    @property
    def host_facts(self) -> Path:
        """What was learnt about this host, such as an accelerator that cannot boot Linux; may be deleted."""
        return self.data / "host.json"

    def instance(self, name: str) -> Path:
        return self.instances / name


def find_paths(env: Mapping[str, str] | None = None) -> Paths:
    """The directories to use: all below ``EBPF_DEV_HOME`` when set, else where the platform wants them."""
    env = os.environ if env is None else env
    home = env.get("EBPF_DEV_HOME")
    if home:
        root = Path(home).expanduser().absolute()
        config, cache, data, lima = root / "config", root / "cache", root / "data", root / "lima"
    else:
        import platformdirs

        config = Path(platformdirs.user_config_dir(APP))
        cache = Path(platformdirs.user_cache_dir(APP))
        data = Path(platformdirs.user_data_dir(APP))
        lima = _lima_home(data)
    runtime = socket_dir(data, Path.home() if this_host().mac else None)
    return Paths(config=config, cache=cache, data=data, runtime=runtime, lima=lima)


def _lima_home(data: Path) -> Path:
    # Lima's sockets lie beside its disks, so this can be no temporary directory; with an instance's name and
    # theirs they need 48 bytes of the 103.
    return data / "lima" if len(os.fsencode(data)) <= 48 else Path.home() / f".{APP}" / "lima"


def socket_dir(data: Path, home: Path | None) -> Path:
    """The directory for the sockets of machines that keep their things in ``data``; short enough for a socket.

    It must last as long as a machine may run: Linux removes $XDG_RUNTIME_DIR when its user logs out, and macOS
    from its directories for temporary files what nobody has touched for three days. ``home`` is a user's, for
    macOS.
    """
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:10]
    candidates = [data / "run", *([home / f".{APP}" / f"run-{digest}"] if home else [])]
    # A Unix socket's path may have 103 bytes on macOS (sys/un.h: sun_path[104]) and 107 on Linux, which
    # "~/Library/Application Support/..." with a long user name exceeds: use a short name derived from it.
    last = Path("/tmp", f"{APP}-{os.getuid()}-{digest}")
    return next((path for path in candidates if len(os.fsencode(path)) <= _SOCKET_DIR_MAX), last)


def ensure_dir(path: Path) -> Path:
    """Make a directory and its parents, each 0700, and return it; one that exists is left as it is."""
    if not path.is_dir():
        if path.parent != path:
            ensure_dir(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
    return path
