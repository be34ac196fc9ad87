"""The NoCloud seed: the small disk from which a foreign cloud image's cloud-init takes our keys."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from provisioner.core.files import write_atomic
from provisioner.core.templates import render
from provisioner.guest.identity import Identity
from provisioner.images.build import HOSTNAME

#: cloud-init looks for a file system with this label (its documentation, "NoCloud").
LABEL = "cidata"


def make_seed(path: Path, identity: Identity) -> Path:
    """Write the seed for guests that shall show and accept ``identity``'s keys; returns ``path``.

    Every file is always there, even where a default would do: a missing network-config costs newer
    cloud-inits retries.
    """
    files = seed_files(identity)
    write_atomic(path, make_iso(files))
    return path


def seed_files(identity: Identity) -> dict[str, bytes]:
    """user-data, meta-data and network-config; another identity is another instance to cloud-init."""
    instance_id = hashlib.sha256(identity.fingerprint.encode()).hexdigest()[:16]
    values = {
        "hostname": HOSTNAME,
        "instance_id": f"ebpf-dev-{instance_id}",
        "authorized_key": identity.client_public,
        "host_private": identity.host_private,
        "host_public": identity.host_public,
        "sshd_config": render("guest/final/etc/ssh/sshd_config.d/10-ebpf-dev.conf"),
    }
    names = ("user-data", "meta-data", "network-config")
    return {name: render(f"cloud-init/{name}.j2", **values).encode() for name in names}


def make_iso(files: dict[str, bytes]) -> bytes:
    """An ISO 9660 image labelled for cloud-init; Joliet and Rock Ridge carry the files' real names."""
    import pycdlib

    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    for index, (name, data) in enumerate(sorted(files.items())):
        iso.add_fp(io.BytesIO(data), len(data), f"/FILE{index}.;1", rr_name=name, joliet_path=f"/{name}")
    buffer = io.BytesIO()
    iso.write_fp(buffer)
    iso.close()
    return buffer.getvalue()
