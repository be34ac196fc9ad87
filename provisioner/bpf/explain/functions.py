"""Rules about calls: helpers, kernel functions, their arguments, what they give out and want back."""

from __future__ import annotations

import re
from collections.abc import Mapping

from provisioner.bpf.explain.calls import argument, called
from provisioner.bpf.explain.registers import describe, describe_kind
from provisioner.bpf.explain.rules import Facts, Rule, about_register, no_facts
from provisioner.bpf.explain.verifier_log import VerifierLog

#: What libbpf puts in place of an instruction whose CO-RE relocation found nothing (0xbad2310).
_POISON = "195896080"
_ANY_MEMORY = "a pointer to memory: a local variable, a value of a map, the packet"


def _call(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    return {"helper": groups.get("helper") or called(log.code) or "this function"}


def _argument(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    """The argument that the verifier named by its register: its place, its C text, what it is."""
    number = int(groups["reg"])
    known = log.registers.get(f"R{number}")
    what = describe(known) if known else describe_kind(groups.get("kind") or "?")
    return {
        **_place(number, log),
        "range": f"{_named(number, log)} is {what}.",
        "wanted": _wanted(groups.get("expected", "")),
    }


def _place(number: int, log: VerifierLog) -> Facts:
    return {"register": f"R{number}", "number": str(number), "helper": called(log.code) or "this function"}


def _text(number: int, log: VerifierLog) -> str | None:
    """The argument as C has it."""
    helper = called(log.code)
    return argument(log.source.text, helper, number) if log.source and helper else None


def _named(number: int, log: VerifierLog) -> str:
    text = _text(number, log)
    return f"Argument {number} of {called(log.code) or 'this function'}()" + (f", {text}," if text else "")


def _wanted(expected: str) -> str:
    kinds = [kind.strip() for kind in expected.split(",") if kind.strip()]
    if {"fp", "map_value"} <= set(kinds):
        return _ANY_MEMORY
    return " or ".join(map(describe_kind, kinds)) or "something else"


def _null_argument(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    # Arguments of kernel functions ("trusted") are counted from 0, those of helpers from 1.
    named = groups["arg"] and str(int(groups["arg"]) + ("trusted" in log.text))
    facts = _argument({**groups, "reg": groups["reg"] or named}, log)
    text = _text(int(facts["number"]), log)
    return {**facts, "variable": text if text and re.fullmatch(r"\w+", text) else "pointer"}


def _numbered(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    """Arguments that the verifier counts from 0."""
    number = int(groups["arg"]) + 1
    return {**_place(number, log), "range": f"{_named(number, log)} is not that."}


def _without_flavour(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    """``struct x___old`` stands for the kernel's struct x."""
    return {"object": re.sub(r"___\w+", "", groups["object"])}


FUNCTION_RULES = (
    Rule(
        "field-absent",
        r"failed to resolve CO-RE relocation <(?P<kind>\w+)> \[\d+\] (?P<object>.+?)(?: \(|$)",
        "This kernel has no {object}; the program was built from headers of another one.",
        "Ask first, if (bpf_core_field_exists(p->field)), and give other kernels their own type, "
        "struct name___old {{ ... }} __attribute__((preserve_access_index)).",
        _without_flavour,
    ),
    Rule(
        "field-absent",
        rf"invalid func unknown#{_POISON}|unknown func unknown#{_POISON}",
        "A field, type or enum value that the program names is not in this kernel (a CO-RE relocation failed).",
        "Ask first: bpf_core_field_exists(p->field), bpf_core_type_exists(struct x), "
        "bpf_core_enum_value_exists().",
        no_facts,
    ),
    Rule(
        "kfunc-absent",
        r"kfunc '(?P<name>\w+)' is referenced but wasn't resolved",
        "This kernel has no kernel function {name}(), or not in a module that is loaded.",
        "Ask first, if (bpf_ksym_exists({name})), load its module, or use another kernel.",
        no_facts,
    ),
    Rule(
        "map-absent",
        r"BPF map '(?P<name>\w+)' is referenced but wasn't created",
        "The program uses map '{name}', which was not created.",
        "Do not switch the map off (bpf_map__set_autocreate) while a loaded program uses it.",
        no_facts,
    ),
    Rule(
        "license",
        r"cannot call (?P<kind>GPL-restricted|kernel) function from non-GPL compatible program",
        "{helper}() is for programs under the GPL only, and this object's license is another one or missing.",
        'Declare it, if it is true: char LICENSE[] SEC("license") = "GPL"; or run it with --license GPL.',
        _call,
    ),
    Rule(
        "helper-not-allowed",
        r"program of this type cannot use helper (?P<helper>\w+)#\d+"
        r"|unknown func (?P<name>bpf_\w+)#(?P<number>\d+)|helper call is not allowed in probe",
        "{helper}() is not for this type of program, or this kernel lacks it.",
        "`bpftool feature probe` lists the helpers of each program type; man 7 bpf-helpers says what each is for.",
        lambda groups, log: {"helper": groups.get("helper") or groups.get("name") or called(log.code) or "It"},
    ),
    Rule(
        "helper-unknown",
        r"(?:invalid|unknown) func (?P<helper>\w+)#(?P<number>\d+)",
        "This kernel has no helper number {number}.",
        "Use a newer kernel, or a helper that this one has: `bpftool feature probe` lists them.",
        no_facts,
    ),
    Rule(
        "kfunc-not-allowed",
        r"calling kernel function (?P<helper>\w+) is not allowed",
        "The kernel function {helper}() is not for this type of program.",
        "Call it from a program type that has it (many are for tracing, struct_ops or syscall programs only).",
        _call,
    ),
    Rule(
        "null-passed",
        r"Possibly NULL pointer passed to (?:trusted |helper )*arg(?P<arg>\d+)"
        r"|^R(?P<reg>\d+) type=\w+_or_null\w* expected=",
        "{helper}() takes no NULL, and the pointer given to it has not been checked.",
        "Check it before the call: if (!{variable}) return 0;",
        _null_argument,
    ),
    Rule(
        "wrong-argument",
        r"^R(?P<reg>\d+) type=(?P<kind>\S+) expected=(?P<expected>.*)",
        "Argument {number} of {helper}() must be {wanted}.",
        "Pass the address: keep a number in a local variable and give &variable; a map as &map.",
        _argument,
    ),
    Rule(
        "untrusted-pointer",
        r"^R(?P<reg>\d+) must be (?:a rcu pointer|referenced or trusted|referenced|a trusted pointer)"
        r"|R(?P<other>\d+) is .*? expected (?:trusted|rcu)",
        "{helper}() takes only a pointer that is sure to be alive: an argument of the hook, or one that was "
        "acquired.",
        "Take it from the hook's own arguments or acquire it (bpf_task_acquire(), bpf_rcu_read_lock() around "
        "an RCU field); to read fields alone use BPF_CORE_READ().",
        lambda groups, log: _argument({**groups, "reg": groups["reg"] or groups["other"]}, log),
    ),
    Rule(
        "constant-needed",
        r"^R(?P<reg>\d+) (?:is not a known constant|must be a known constant)|"
        r"^(?:arg#\d+ )?R?(?P<other>\d*) ?(?:must be a known constant|doesn't have constant)",
        "This argument must be a constant that is known when the program is loaded.",
        "Give sizeof(...) or a number; for a size that varies use bpf_ringbuf_output() or a dynptr.",
        about_register,
    ),
    Rule(
        "kfunc-argument",
        r"kernel function (?P<helper>\w+) args#(?P<arg>\d+) expected (?P<wanted>.*?),? but R(?P<reg>\d+) has "
        r"(?P<has>.*)|arg#(?P<number>\d+) (?P<rest>expected .*|is .* expected.*"
        r"|pointer type .* must point to .*)",
        "A kernel function's arguments must be of the types it declares.",
        "Pass a pointer of exactly that type, as the hook or a helper gave it.",
        lambda groups, log: about_register(groups, log),
    ),
    Rule(
        "global-result",
        r"Global function (?P<helper>\w+)\(\) doesn't return scalar",
        "{helper}() is a global function, and those must return a number.",
        "Let it return int (return 0;), or make it static.",
        no_facts,
    ),
    Rule(
        "global-call",
        r"Caller passes invalid args into func#\d+ \('(?P<helper>\w+)'\)",
        "{helper}() is a global function: its pointer arguments must point to memory of the declared size, or "
        "be the context.",
        "Make it static (then it is checked together with its caller), or give the argument a plain struct type.",
        _call,
    ),
    Rule(
        "map-type",
        r"cannot pass map_type (?P<type>\d+) into func (?P<helper>\w+)#\d+",
        "{helper}() does not work on a map of this type.",
        "Use the helper that belongs to the map's type (ring buffers: bpf_ringbuf_*, perf: "
        "bpf_perf_event_output).",
        _call,
    ),
    Rule(
        "object-state",
        r"Expected an initialized (?P<kind>dynptr|iter_\w+) as arg #(?P<arg>\d+)"
        r"|expected an initialized (?P<iterator>iter_\w+) as arg #(?P<number>\d+)",
        "{helper}() needs a {kind}{iterator} that has been initialised before, on every path that leads here.",
        "Make it first: bpf_dynptr_from_mem(), bpf_ringbuf_reserve_dynptr(), bpf_iter_..._new(); and do not "
        "use it after it was given back.",
        lambda groups, log: _numbered({"arg": groups["arg"] or groups["number"]}, log),
    ),
    Rule(
        "object-state",
        r"Dynptr has to be an uninitialized dynptr|expected (?:an )?uninitialized (?P<kind>iter_\w+|dynptr)",
        "{helper}() makes a new one, and the variable holds one already.",
        "Give that back first, or use another variable.",
        _call,
    ),
    Rule(
        "format",
        r"Invalid format string|fmt str is not a const string|invalid format specifier|unknown format specifier",
        "A format of {helper}() must be a constant, and knows only %d %i %u %x %ld %lld %llx ... %s %p and the "
        "like.",
        "Print floating point and the rest as integers; a string must end with 0 and be given as pointer to %s.",
        _call,
    ),
    Rule(
        "under-lock",
        r"function calls are not allowed while holding a lock|"
        r"(?:helper|kernel func(?:tion)?) .*? (?:is )?(?:sleepable|not allowed) (?:within|while|inside) .*lock",
        "Between bpf_spin_lock() and bpf_spin_unlock() nothing may be called.",
        "Call {helper}() before the lock is taken, keep the result in a variable, and use that.",
        _call,
    ),
    Rule(
        "lock-held",
        r"(?:BPF_EXIT instruction|bpf_throw|tail_call|BPF_LD_\S+).* inside bpf_(?P<what>spin_lock|rcu_read_lock|"
        r"preempt_disable|local_irq_save)-ed region"
        r"|bpf_(?P<other>rcu_read_(?:un)?lock) is missing|(?P<unlock>bpf_spin_unlock) is missing",
        "A lock that the program takes must be given back on every path before it ends.",
        "Call the matching function before each return: bpf_spin_unlock(), bpf_rcu_read_unlock(), "
        "bpf_preempt_enable().",
        no_facts,
    ),
    Rule(
        "lock-order",
        r"Locking two bpf_spin_locks are not allowed|bpf_spin_unlock (?:without taking a lock|of different lock)"
        r"|unmatched (?:rcu_read_unlock|.*unlock)",
        "One lock at a time: taken, then given back, in pairs.",
        "Unlock the first one before taking the second.",
        no_facts,
    ),
    Rule(
        "lock-type",
        r"(?P<what>tracing progs|socket filter progs|sleepable progs) cannot use bpf_spin_lock",
        "This type of program cannot take spin locks.",
        "Count with __sync_fetch_and_add(&value->count, 1), or in a per-CPU map, which needs no lock.",
        no_facts,
    ),
    Rule(
        "timer-type",
        r"tracing progs cannot use (?P<what>bpf_timer|bpf_wq)",
        "Programs of kprobes, tracepoints and perf events cannot use a map whose values hold a {what}.",
        'Attach to the event in another way, SEC("fentry/...") or SEC("tp_btf/..."), or act in user space.',
        no_facts,
    ),
    Rule(
        "sleeps",
        r"helper call might sleep in a non-sleepable prog"
        r"|program must be sleepable to call sleepable kfunc (?P<name>\w+)|(?:helper"
        r"|kernel func) \S+ is sleepable within|sleepable helper \S+ in",
        "{helper}() may sleep, and a program of this kind must not.",
        'Make the program sleepable, SEC("lsm.s/...") or "fentry.s", "uprobe.s", "syscall", where the hook '
        "allows it; "
        "else use the variant that does not sleep (bpf_probe_read_user() for bpf_copy_from_user()).",
        lambda groups, log: _call({**groups, "helper": groups.get("name", "")}, log),
    ),
    Rule(
        "tail-call",
        r"tail_calls? (?:are|is) not allowed|mixing of tail_calls and bpf-to-bpf calls is not supported",
        "Tail calls cannot be combined with everything: with functions of one's own they need a JIT that knows "
        "how, and a stack of at most 256 bytes.",
        "Mark the functions __always_inline, or make their local variables smaller.",
        no_facts,
    ),
    Rule(
        "target",
        r"attach_btf_id \d+ (?:is not a function|is invalid)|Attach to unsupported member (?P<member>\w+)"
        r"|FENTRY/FEXIT program can only be attached|JIT does not support attaching trampoline"
        r"|(?P<f>\w+)\(\) is not modifiable",
        "The program's target cannot be attached to in this way.",
        "Choose a function that bpftool btf dump file /sys/kernel/btf/vmlinux lists as FUNC; fmod_ret needs "
        "one that allows error injection or a security hook.",
        no_facts,
    ),
)
