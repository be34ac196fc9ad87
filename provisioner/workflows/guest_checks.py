"""The guest half of ``doctor``: one remote command gathers the facts, pure functions judge them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from provisioner.guest.base import Guest
from provisioner.guest.clock import clock_offset, describe_offset
from provisioner.workflows.checks import Check

# Prints NAME=VALUE lines, and for a fact that cannot be had no line. Run by bash as root. The name looked up is
# that of the mirror in apt's sources, which may well be an address.
_PROBE = r"""
echo "clock=$EPOCHREALTIME"
say() { [ -n "$2" ] && printf '%s=%s\n' "$1" "$2"; return 0; }
release=$(uname -r)
say kernel "$release"
say arch "$(uname -m)"
[ -s /sys/kernel/btf/vmlinux ] && say btf yes
say jit "$(cat /proc/sys/net/core/bpf_jit_enable 2>/dev/null)"
[ -d /sys/kernel/tracing/events ] && say tracefs yes
say bpffs "$(awk '$3 == "bpf" {print $2; exit}' /proc/mounts)"
say lsm "$(cat /sys/kernel/security/lsm 2>/dev/null)"
[ -d /sys/kernel/sched_ext ] && say sched_ext yes
[ -e "/lib/modules/$release/build/Makefile" ] && say headers yes
say clang "$(clang --version 2>/dev/null | head -n 1)"
say bpftool "$(bpftool version 2>/dev/null | head -n 1)"
{ cat "/boot/config-$release" 2>/dev/null || zcat /proc/config.gz 2>/dev/null; } |
    grep -E '^CONFIG_(KPROBES|FPROBE|SCHED_CLASS_EXT|BPF_LSM)=' | sed 's/^CONFIG_/config_/'
[ -e /sys/kernel/tracing/kprobe_events ] && say kprobe_events yes
say resolver "$(awk '$1 == "nameserver" {print $2; exit}' /etc/resolv.conf)"
say proxy "$(apt-config shell proxy Acquire::http::Proxy 2>/dev/null)"
host=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | head -n 1 | sed 's,^[a-z+]*://,,; s,[/:].*,,')
say name "$host"
[ -n "$host" ] && timeout 10 getent ahosts "$host" >/dev/null && say resolved yes
exit 0
"""


@dataclass(frozen=True)
class _Feature:
    """A row of the table below: which fact must be there, and the words for both cases."""

    name: str
    fact: str
    well: str
    missing: str
    cure: str
    needed: bool = True


_NEWER_KERNEL = (
    "A newer one does: `ebpf-dev kernels`; `ebpf-dev up NAME --kernel backports` makes an instance with it."
)
_PROVISION = "`ebpf-dev delete` and `ebpf-dev up` provision the guest anew."
# QEMU's 10.0.2.3 passes a question on to the first IPv4 server that the host has when it is asked (libslirp looks
# at the host's configuration anew every second), so that a change of network needs nothing from us.
_DNS_CURE = (
    "When the host finds it: QEMU asks the first IPv4 name server of the host only, and knows nothing of a VPN "
    "that answers for some names (split DNS). Set `proxy:`, or write the address into the guest's /etc/hosts."
)
_FEATURES = (
    _Feature("BTF", "btf", "the kernel describes its types", "missing: CO-RE programs and vmlinux.h need it",
             "Use a kernel built with CONFIG_DEBUG_INFO_BTF."),
    _Feature("tracefs", "tracefs", "mounted", "not mounted: bpf_printk cannot be read, tracepoints not found",
             "In the guest: mount -t tracefs tracefs /sys/kernel/tracing"),
    _Feature("bpffs", "bpffs", "mounted", "not mounted: nothing can be pinned",
             "In the guest: mount -t bpf bpf /sys/fs/bpf"),
    _Feature("fprobe", "config_FPROBE", "kprobe.multi programs can attach",
             "not in this kernel: kprobe.multi programs cannot attach",
             f"Use plain kprobe sections. {_NEWER_KERNEL}", needed=False),
    _Feature("sched_ext", "sched_ext", "BPF schedulers can be loaded",
             "not in this kernel: BPF schedulers cannot be loaded", _NEWER_KERNEL, needed=False),
    _Feature("kernel headers", "headers", "match the running kernel",
             "missing for the running kernel", _PROVISION),
    _Feature("clang", "clang", "", "not installed", _PROVISION),
    _Feature("bpftool", "bpftool", "", "not installed, or it does not run", _PROVISION),
)  # fmt: skip


def guest_checks(guest: Guest) -> list[Check]:
    """Look at a running guest with one command; raises GuestError when it does not answer."""
    asked = time.time()
    facts = parse_probe(guest.run(["bash", "-c", _PROBE], timeout=60.0).stdout)
    return judge_guest(facts, (asked, time.time()))


def parse_probe(text: str) -> dict[str, str]:
    """The NAME=VALUE lines of the probe."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value.strip() for name, equals, value in pairs if equals}


def judge_guest(facts: Mapping[str, str], asked: tuple[float, float]) -> list[Check]:
    """The checks that follow from the facts of the probe, which was sent and answered at ``asked``; pure."""
    kernel = f"{facts.get('kernel', 'unknown')} on {facts.get('arch', 'unknown')}"
    return [Check("guest kernel", True, kernel), _clock(facts, asked), *_names(facts), *_judge(facts)]


def _clock(facts: Mapping[str, str], asked: tuple[float, float]) -> Check:
    try:
        offset = clock_offset(float(facts["clock"].replace(",", ".")), *asked)
    except (KeyError, ValueError):
        return Check("guest clock", None, "the guest does not say what time it is")
    if not offset:
        return Check("guest clock", True, "as the host's")
    return Check("guest clock", False, f"{describe_offset(offset)}; it stands still while the host sleeps",
                 cure="The next `run` or `exec` sets it.", needed=False)  # fmt: skip


def _names(facts: Mapping[str, str]) -> Iterator[Check]:
    """Whether the guest finds the address of its package mirror; behind a proxy it has no need to."""
    name, resolver = facts.get("name", ""), facts.get("resolver", "nobody")
    if not re.search("[a-z]", name) or facts.get("proxy"):
        return
    if facts.get("resolved"):
        yield Check("guest DNS", True, f"finds {name}", f"it asks {resolver}")
        return
    yield Check(
        "guest DNS",
        False,
        f"cannot find the address of {name}; it asks {resolver}",
        cure=_DNS_CURE,
        needed=False,
    )


def _judge(facts: Mapping[str, str]) -> Iterator[Check]:
    yield _feature(_FEATURES[0], facts)
    yield _jit(facts.get("jit", ""))
    yield _kprobes(facts)
    yield _lsm(facts)
    for feature in _FEATURES[1:]:
        yield _feature(feature, facts)


def _feature(feature: _Feature, facts: Mapping[str, str]) -> Check:
    if value := facts.get(feature.fact):
        return Check(feature.name, True, feature.well or value, needed=feature.needed)
    return Check(feature.name, False, feature.missing, cure=feature.cure, needed=feature.needed)


def _jit(value: str) -> Check:
    # The kernel's Documentation/admin-guide/sysctl/net.rst: 0 off, 1 on, 2 on and traced.
    if value in ("1", "2"):
        return Check("JIT", True, "programs are compiled to machine code")
    if value == "0":
        return Check("JIT", False, "off: programs are interpreted, and fentry and lsm cannot attach",
                     cure="In the guest: sysctl -w net.core.bpf_jit_enable=1")  # fmt: skip
    return Check("JIT", None, "the kernel does not say")


def _kprobes(facts: Mapping[str, str]) -> Check:
    if facts.get("config_KPROBES") or facts.get("kprobe_events"):
        return Check("kprobes", True, "kernel functions can be probed")
    return Check("kprobes", False, "not in this kernel: kprobe programs cannot attach", cure=_NEWER_KERNEL)


def _lsm(facts: Mapping[str, str]) -> Check:
    active = facts.get("lsm", "")
    if "bpf" in active.split(","):
        return Check("BPF LSM", True, "active", active, needed=False)
    if facts.get("config_BPF_LSM"):
        return Check("BPF LSM", False, "built in but not active: lsm programs load and never run", active,
                     cure=f"Boot the guest with lsm={active + ',' if active else ''}bpf on its command line.",
                     needed=False)  # fmt: skip
    return Check("BPF LSM", False, "not in this kernel: lsm programs cannot be loaded", active,
                 cure=_NEWER_KERNEL, needed=False)  # fmt: skip
