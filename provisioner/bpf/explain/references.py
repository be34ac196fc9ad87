"""Rules about what a call hands out: that it is given back, and not used after that."""

from __future__ import annotations

import re
from collections.abc import Mapping

from provisioner.bpf.explain.calls import assigned_variable, called
from provisioner.bpf.explain.rules import Facts, Rule
from provisioner.bpf.explain.verifier_log import VerifierLog

#: What takes back what a call has handed out; {0} is the variable.
_RELEASES = {
    r"bpf_ringbuf_reserve": "bpf_ringbuf_submit({0}, 0) or bpf_ringbuf_discard({0}, 0)",
    r"bpf_ringbuf_reserve_dynptr": "bpf_ringbuf_submit_dynptr(&dynptr, 0) or ..._discard_dynptr(&dynptr, 0)",
    r"bpf_(sk_lookup_\w+|skc_lookup_\w+|sk_fullsock)": "bpf_sk_release({0})",
    r"bpf_iter_(?P<iterator>\w+)_new": "bpf_iter_{iterator}_destroy(&it)",
    r"bpf_obj_new\w*|bpf_percpu_obj_new\w*": "bpf_obj_drop({0})",
    r"bpf_task_(acquire|from_\w+)": "bpf_task_release({0})",
    r"bpf_cgroup_(acquire|from_\w+|ancestor)": "bpf_cgroup_release({0})",
    r"bpf_cpumask_(create|acquire)": "bpf_cpumask_release({0})",
    r"bpf_(xdp|skb)_ct_\w+": "bpf_ct_release({0})",
}


def _reference(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    """Which call handed it out, where, and the call that takes it back."""
    at = int(groups["at"])
    name, source = called(log.codes.get(at)), log.sources.get(at)
    variable = source and assigned_variable(source.text)
    line = f" in line {source.line}" if source and source.line else ""
    return {
        "helper": name or "a function",
        "range": f"{name or 'A function'}() at instruction {at}{line} handed it out; on this path it is not "
        "given back.",
        "release": _release(name or "", variable or "pointer"),
    }


def _release(name: str, variable: str) -> str:
    for pattern, release in _RELEASES.items():
        if match := re.fullmatch(pattern, name):
            return release.format(variable, **match.groupdict())
    return "its release function"


REFERENCE_RULES = (
    Rule(
        "not-released",
        r"Unreleased reference id=\d+ alloc_insn=(?P<at>\d+)",
        "What {helper}() hands out must be given back on every path, also when the program leaves early.",
        "Before each return behind the call: {release};",
        _reference,
    ),
)
