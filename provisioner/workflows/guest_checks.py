"""The guest half of ``doctor``: one remote command gathers the facts, pure functions judge them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from provisioner.guest.base import Guest
from provisioner.workflows.checks import Check

# Prints NAME=VALUE lines, and for a fact that cannot be had no line. POSIX sh, run as root.
_PROBE = r"""
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


_NEWER_KERNEL = "Use an image with a newer kernel (`ebpf-dev images`)."
_PROVISION = "`ebpf-dev delete` and `ebpf-dev up` provision the guest anew."
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
    return judge_guest(parse_probe(guest.run(["sh", "-c", _PROBE], timeout=60.0).stdout))


def parse_probe(text: str) -> dict[str, str]:
    """The NAME=VALUE lines of the probe."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value.strip() for name, equals, value in pairs if equals}


def judge_guest(facts: Mapping[str, str]) -> list[Check]:
    """The checks that follow from the facts of the probe; pure."""
    kernel = f"{facts.get('kernel', 'unknown')} on {facts.get('arch', 'unknown')}"
    return [Check("guest kernel", True, kernel), *_judge(facts)]


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
