"""Lima backends on a fake ``limactl``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from provisioner.backends.lima.backend import LimaBackend
from provisioner.backends.lima.layout import LimaFiles
from provisioner.backends.qemu.accelerator import AcceleratorFacts
from provisioner.core.host import HostFacts
from tests.unit.qemu_machines import make_machine

LINUX = HostFacts("linux", "x86_64", uid=1000)


@dataclass(frozen=True)
class FakeKeys:
    """What ``Identity`` has, without keys that would fit anything."""

    client_key: Path
    client_public: str = "ssh-ed25519 AAAAclient ebpf-dev"
    host_public: str = "ssh-ed25519 AAAAhost ebpf-dev guest"
    host_private: str = "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n-----END OPENSSH PRIVATE KEY-----\n"


def kvm_looks_fine(arch: str, built_in: frozenset[str]) -> AcceleratorFacts:
    return AcceleratorFacts(LINUX, arch, built_in)


class LimaLab:
    """A directory with a short path: LIMA_HOME is in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "lima"
        self.keys = FakeKeys(root / "client_key")
        self.keys.client_key.write_text("private\n")
        self.machine = make_machine(root, root, accelerator="tcg")
        for name in ("vmlinuz", "initrd"):
            (root / name).write_text(f"the first {name}\n")

    def backend(self, *, silence: float = 60.0, host: HostFacts = LINUX) -> LimaBackend:
        return LimaBackend(
            self.home, self.root / "host.json", self.keys,
            gather=kvm_looks_fine, host=lambda: host, silence=silence,
        )  # fmt: skip

    @property
    def files(self) -> LimaFiles:
        return LimaFiles(self.machine, self.home)
