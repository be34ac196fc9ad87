"""What a kernel brings for eBPF: read off its configuration, or told from its version before it is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from provisioner.guest.kernel_pairs import KernelPair, flavour, release_key


@dataclass(frozen=True)
class Feature:
    """``option`` is the configuration that switches it on, "" where nothing does but the version.

    ``since`` is the first Linux that has it, by architecture where they differ. ``debian`` is the first that
    Debian builds with it, where it took its time.
    """

    name: str
    option: str
    since: tuple[int, int] | Mapping[str, tuple[int, int]]
    debian: Mapping[str, tuple[int, int]] = field(default_factory=dict)


#: Versions: the kernel's own history (the commits that add the option or the attach type), as collected by
#: libbpf's and bcc's lists of features by version. Debian's: its kernels' configurations (linux-config-6.1,
#: -6.12, -7.2 for both architectures, and the cloud kernels of 6.16 to 6.18).
FEATURES = (
    Feature("BTF", "CONFIG_DEBUG_INFO_BTF", (5, 2)),
    Feature("fentry", "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS", {"x86_64": (5, 5), "aarch64": (6, 4)}),
    Feature("LSM", "CONFIG_BPF_LSM", (5, 7)),
    Feature("fprobe", "CONFIG_FPROBE", (5, 18), {"x86_64": (6, 12), "aarch64": (7, 2)}),
    Feature("netfilter", "CONFIG_NETFILTER_BPF_LINK", (6, 4)),
    Feature("uprobe_multi", "", (6, 6)),
    Feature("tcx", "CONFIG_NET_XGRESS", (6, 6)),
    Feature("netkit", "CONFIG_NETKIT", (6, 7)),
    Feature("token", "", (6, 9)),
    Feature("arena", "", {"x86_64": (6, 9), "aarch64": (6, 10)}),
    Feature("sched_ext", "CONFIG_SCHED_CLASS_EXT", (6, 12), {"x86_64": (6, 16), "aarch64": (6, 16)}),
)
#: Every option that is worth reading in a configuration.
OPTIONS = tuple(feature.option for feature in FEATURES if feature.option)


def features_of(pair: KernelPair, arch: str) -> list[str]:
    """The names of the features that the kernel has; ``arch`` in our words."""
    return [feature.name for feature in FEATURES if _has(feature, pair, arch)]


def _has(feature: Feature, pair: KernelPair, arch: str) -> bool:
    version = release_key(pair.release)[:2]
    since = feature.since.get(arch, (99, 0)) if isinstance(feature.since, Mapping) else feature.since
    if version < since:
        return False
    if not feature.option:
        return True
    # A configuration that could not be read says nothing.
    if pair.config:
        return pair.config.get(feature.option) in ("y", "m")
    in_debian = flavour(pair.release).endswith(("amd64", "arm64"))
    return not in_debian or version >= feature.debian.get(arch, since)
