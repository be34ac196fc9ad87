"""Rules about what a call hands out: that it is given back, and not used after that."""

from __future__ import annotations

import re
from collections.abc import Mapping

from provisioner.bpf.explain.calls import assigned_variable, called, last_call_number
from provisioner.bpf.explain.registers import describe_kind
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
#: What takes it back, and the kinds of pointers that are void from then on.
_TAKING = r"bpf_ringbuf_(submit|discard)\w*|bpf_\w+_(release|destroy|drop)(_impl)?|bpf_put_\w+"
_HANDED_OUT = r"(ringbuf_)?mem|\w*sock\w*|\w*ptr_\w*"


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


def _released(groups: Mapping[str, str], log: VerifierLog) -> Facts | None:
    """The verifier makes a pointer a number when it is given back, and prints that only where it is used again."""
    at = last_call_number(log, _TAKING)
    name = f"R{groups['reg'] or int(groups['arg']) + 1}"
    pointers = [kind for kind in log.history.get(_kept_in(name, at, log) or "", ()) if kind != "scalar"]
    if not pointers or not re.fullmatch(_HANDED_OUT, pointers[-1]):
        return None
    helper = called(log.codes[at]) or ""
    was = describe_kind(pointers[-1].replace("_or_null", ""))
    return {
        "register": name,
        "range": f"{name} was {was} before {helper}() and is a mere number since.",
        "helper": helper,
    }


def _kept_in(name: str, call: int, log: VerifierLog) -> str | None:
    """The register that held before ``call`` what is in ``name`` now, perhaps with a number added.

    It may have been on the stack meanwhile.
    """
    for at in sorted((at for at in log.codes if at < (log.instruction or 0)), reverse=True):
        register, code = name.startswith("R"), log.codes[at]
        if at < call and register:
            break
        if " call " in code and name in ("R0", "R1", "R2", "R3", "R4", "R5"):
            return None
        target = f"[rw]{name[1:]}" if register else re.escape(name)
        if match := re.search(rf"\) {target} = (.*)", code):
            if not re.fullmatch(r"r\d+|\*\(u64 \*\)\(r10 -\d+\)", match[1]):
                return None
            name = match[1].upper() if match[1].startswith("r") else match[1]
    return name if call >= 0 and name.startswith("R") else None


REFERENCE_RULES = (
    Rule(
        "not-released",
        r"Unreleased reference id=\d+ alloc_insn=(?P<at>\d+)",
        "What {helper}() hands out must be given back on every path, also when the program leaves early.",
        "Before each return behind the call: {release};",
        _reference,
    ),
    Rule(
        "released",
        r"^R(?P<reg>\d+) (?:invalid mem access '(?:scalar|inv)'|type=(?:scalar|inv) expected=)"
        r"|^arg#(?P<arg>\d+) pointer type ",
        "After {helper}() the pointer is void: what it pointed to has been given back.",
        "Use it before that call, or copy what is needed later to a local variable; give it back only once.",
        _released,
    ),
)
