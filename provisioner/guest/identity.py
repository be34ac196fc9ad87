"""Our own keys: one that lets us in, and the host key that every guest must show."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from provisioner.core.files import locked, write_atomic
from provisioner.core.paths import Paths, ensure_dir

#: The name under which OpenSSH looks the pinned key up, whatever port the guest has today.
HOST_KEY_ALIAS = "ebpf-dev"


@dataclass(frozen=True)
class Identity:
    """The ed25519 key pairs kept in ``directory`` (0700, private halves 0600), never the user's own.

    The host key is made here and planted into an image before its first boot, so that the very first
    connection can be checked; all instances of one user share it.
    """

    directory: Path

    @property
    def client_key(self) -> Path:
        return self.directory / "id_ed25519"

    @property
    def host_key(self) -> Path:
        return self.directory / "ssh_host_ed25519_key"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def client_public(self) -> str:
        """The line for ``authorized_keys``."""
        return self.client_key.with_suffix(".pub").read_text().strip()

    @property
    def host_public(self) -> str:
        return self.host_key.with_suffix(".pub").read_text().strip()

    @property
    def host_private(self) -> str:
        return self.host_key.read_text()

    @property
    def fingerprint(self) -> str:
        """A short digest of both public keys; part of the key of every disk that they were planted into."""
        return hashlib.sha256(f"{self.client_public}\n{self.host_public}".encode()).hexdigest()[:16]


def ensure_identity(paths: Paths) -> Identity:
    """The user's identity, made on first use; safe against two first uses at once and against a crash."""
    identity = Identity(paths.identity)
    if identity.known_hosts.exists():
        return identity
    with locked(paths.locks / "identity.lock"):
        if not identity.known_hosts.exists():
            ensure_dir(identity.directory)
            _write_key_pair(identity.client_key, "ebpf-dev")
            _write_key_pair(identity.host_key, "ebpf-dev guest")
            # Written last: its presence says that the set is complete.
            key_type, blob = identity.host_public.split()[:2]
            write_atomic(identity.known_hosts, f"{HOST_KEY_ALIAS} {key_type} {blob}\n".encode())
    return identity


def _write_key_pair(path: Path, comment: str) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    write_atomic(path, private, 0o600)
    write_atomic(path.with_suffix(".pub"), public + f" {comment}\n".encode(), 0o644)
