"""Rules about what a program reads and writes: values of maps, the stack, the context, kernel objects."""

from __future__ import annotations

import re
from collections.abc import Mapping

from provisioner.bpf.explain.calls import argument, assigned_variable, called
from provisioner.bpf.explain.registers import describe, describe_bytes
from provisioner.bpf.explain.rules import Facts, Rule, about_access, about_register, no_facts, register_facts
from provisioner.bpf.explain.verifier_log import Register, VerifierLog

#: What gives out values that may be NULL, where the call itself is not in the log.
_GIVING = {"map_value": "bpf_map_lookup_elem", "ringbuf_mem": "bpf_ringbuf_reserve"}
#: The line before, which names the object and the place that could be reached.
_REACHED = (
    r"(?:invalid access to (?:map value|memory|buffer|map key), \w+=(?P<object>\d+) "
    r"off=(?P<off>-?\d+) size=(?P<size>\d+)\n)?"
)
_STACK_ACCESS = (
    r"invalid (?:unbounded |variable-offset |indirect |zero-sized )*(?:read|write|access)? ?"
    r"(?:from|to|through)? ?stack (?:type )?R(?P<reg>\d+)(?: off=(?P<off>-?\d+))?(?:.*? size=(?P<size>\d+))?"
)


def _may_be_null(groups: Mapping[str, str], log: VerifierLog) -> Facts | None:
    """The value comes from a call on the way here: name the call and the variable that keeps its result."""
    name = f"R{groups['reg']}"
    register = log.registers.get(name)
    at = log.origins.get(register.attributes.get("id", ""), -1) if register else -1
    helper = called(log.codes.get(at)) or _GIVING.get(groups["kind"] or groups["base"])
    if not helper:
        return None
    source = log.sources.get(at)
    variable = assigned_variable(source.text) if source else None
    return {**register_facts(name, log), "helper": helper, "variable": variable or "pointer"}


def _null_argument(groups: Mapping[str, str], log: VerifierLog) -> Facts | None:
    return about_register(groups, log) if groups["kind"].startswith(("mem", "dynptr", "ptr", "trusted")) else None


def _known_null(groups: Mapping[str, str], log: VerifierLog) -> Facts | None:
    register = log.registers.get(f"R{groups['reg']}")
    if register is None or register.number("value") != 0:
        return None
    return {"register": register.name, "range": f"{register.name} is 0, that is NULL, on this path."}


def _index(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    """The register and its range; how large the object is, when that is known, and what would be reached."""
    name = f"R{groups['reg']}"
    register = log.registers.get(name)
    facts = register_facts(name, log)
    size = groups.get("object") or _object_size(register)
    if groups.get("off"):
        reached = describe_bytes(int(groups["off"]), int(groups["size"]))
        facts["range"] = " ".join([*filter(None, [facts.get("range")]), f"The access may be to {reached}."])
    facts["length"] = f" of {size} bytes" if size else ""
    return facts


def _overrun(groups: Mapping[str, str], log: VerifierLog) -> Facts | None:
    """The kernel calls the lowest byte reached a "min value" also when that is behind the object's end."""
    if not groups["reg"]:
        return {"length": f" of {groups['object']} bytes" if groups["object"] else "", **about_access(groups, log)}
    return None if groups["off"].startswith("-") else _index(groups, log)


def _object_size(register: Register | None) -> int | None:
    return register.number("vs", "sz", "mem_size") if register else None


def _added_index(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    """The number of ``r0 += r1``: that is what has no lower bound."""
    match = re.search(r"\br(\d+) [-+]= r(\d+)", log.code or "")
    facts = register_facts(f"R{match[2]}", log) if match else {}
    return {"length": "", **facts}


def _size_argument(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    helper = called(log.code) or "the helper"
    text = argument(log.source.text, helper, int(groups["reg"])) if log.source else None
    variable = text if text and re.fullmatch(r"\w+", text) else "size"
    return {**about_register(groups, log), "helper": helper, "variable": variable}


def _map_argument(groups: Mapping[str, str], log: VerifierLog) -> Facts | None:
    """A key or value that ends before what the map takes; no index has moved the pointer."""
    helper = called(log.code) or ""
    if not re.fullmatch(r"bpf_map_\w+_elem", helper) or groups["reg"] not in ("2", "3"):
        return None
    if not groups["off"] or not 0 < -int(groups["off"]) < int(groups["size"] or 0):
        return None
    text = argument(log.source.text, helper, int(groups["reg"])) if log.source else None
    # Queues and stacks have no keys.
    value = groups["reg"] == "3" or re.search("push|pop|peek", helper)
    return {
        **_stack(groups, log),
        "helper": helper,
        "variable": text or f"R{groups['reg']}",
        "part": "value" if value else "key",
    }


def _stack(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    name = f"R{groups['reg']}" if groups.get("reg") else "R10"
    facts = register_facts(name, log)
    if groups.get("off") and groups.get("size"):
        start, size = int(groups["off"]), int(groups["size"])
        room = -start if start < 0 else 0
        facts["range"] = (
            f"{name} points to byte {start} of the stack, {room} bytes from its end; {size} are accessed."
        )
    return facts


def _context(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    return {"register": "R1"} if "R1" in log.registers and log.registers["R1"].kind == "ctx" else {}


def _pointer_math(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    facts = about_register(groups, log)
    match = re.search(r"[-+*/&|^]= r(\d+)", log.code or "")
    other = log.registers.get(f"R{match[1]}") if match else None
    if other and facts.get("range"):
        facts["range"] += f" {other.name} is {describe(other)}."
    return facts


MEMORY_RULES = (
    Rule(
        "null-unchecked",
        r"^R(?P<reg>\d+) (?:invalid mem access '(?P<kind>\w+)_or_null_?'"
        r"|pointer arithmetic on (?P<base>\w+)_or_null_? prohibited)",
        "What {helper}() returns may be NULL; it has to be compared with NULL before it is used.",
        "Check it right after the call: if (!{variable}) return 0;",
        _may_be_null,
    ),
    Rule(
        "null-argument",
        r"^R(?P<reg>\d+) invalid mem access '(?P<kind>\w+)_or_null_?'",
        "A pointer argument of a global function may be NULL: the function is checked without its callers.",
        "Begin the function with if (!pointer) return 0; or make it static, then it is checked with each caller.",
        _null_argument,
    ),
    Rule(
        "null-dereference",
        r"^R(?P<reg>\d+) invalid mem access '(?:scalar|inv)'",
        "A NULL pointer cannot be dereferenced, and on this path the pointer is NULL.",
        "Return before the access when it is NULL: if (!pointer) return 0;",
        _known_null,
    ),
    Rule(
        "not-a-pointer",
        r"^R(?P<reg>\d+) invalid mem access '(?:scalar|inv)'",
        "Only a pointer that the verifier knows can be dereferenced; an address read from memory is a number "
        "to it.",
        "Kernel memory: BPF_CORE_READ(p, field) or bpf_probe_read_kernel(&x, sizeof(x), p); user memory: "
        "bpf_probe_read_user(). bpf_get_current_task_btf() gives a task whose fields can be read directly.",
        about_register,
    ),
    Rule(
        "wrong-pointer",
        r"^R(?P<reg>\d+) invalid mem access '(?P<kind>[^']+)'",
        "A value of this type cannot be dereferenced here.",
        "Read it with bpf_probe_read_kernel(), or with the helper that belongs to the type.",
        about_register,
    ),
    Rule(
        "object-bounds",
        r"invalid access to (?P<kind>[\w ]+?)(?:, \w+=(?P<object>\d+))? off=(?P<off>-?\d+) size=(?P<size>\d+)"
        r"(?:\nR(?P<reg>\d+) min value is outside|\Z)",
        "An access must stay inside the object{length}.",
        "Make the object as large as what is accessed, or access less: reserve sizeof(*e), not sizeof(e); let the "
        "map's __type(value, ...) name the struct that the program uses.",
        _overrun,
    ),
    Rule(
        "index-negative",
        _REACHED
        + r"^R(?P<reg>\d+) min value is (?:negative, either use unsigned index|outside of the allowed memory)",
        "An index must be proven not to reach in front of the object{length}.",
        "Use an unsigned index (__u32 i), or check both ends: if (i < 0 || i >= LENGTH) return 0;",
        _index,
    ),
    Rule(
        "index-negative",
        r"math between \w+ pointer and register with unbounded min value is not allowed"
        r"|value -\d+ makes \w+ pointer be out of bounds",
        "An index that may be negative cannot be added to a pointer.",
        "Use an unsigned index (__u32 i), or check both ends: if (i < 0 || i >= LENGTH) return 0;",
        _added_index,
    ),
    Rule(
        "index-bounds",
        _REACHED + r"^R(?P<reg>\d+) (?:unbounded memory access, make sure to bounds check"
        r"|max value is outside of the allowed memory range)",
        "An index must be proven to stay inside the object{length}.",
        "Check it before the access, if (i >= LENGTH) return 0; or cut it to a power of two, i &= LENGTH - 1; "
        "with an unsigned i.",
        _index,
    ),
    Rule(
        "size-unbounded",
        r"^R(?P<reg>\d+) (?:unbounded memory access, use 'var &= const'"
        r"|min value is negative, either use unsigned or 'var &= const')",
        "The size given to {helper}() must be proven to fit its buffer, and not to be negative.",
        "Bound it first, with an unsigned type: if ({variable} > sizeof(buffer)) {variable} = sizeof(buffer); or "
        "{variable} &= sizeof(buffer) - 1; for a power of two.",
        _size_argument,
    ),
    Rule(
        "size-zero",
        r"^R(?P<reg>\d+) invalid zero-sized read",
        "The size given to {helper}() may be 0 here, which it does not take.",
        "Leave when there is nothing: if (!{variable}) return 0;",
        _size_argument,
    ),
    Rule(
        "stack-uninitialised",
        r"invalid (?:indirect )?read from stack (?:R(?P<reg>\d+) )?off -?\d+\+\d+ size \d+",
        "Every byte of a local variable must be set before it is read or handed to a helper, padding too.",
        "Clear it where it is declared: struct key key = {{}}; or __builtin_memset(&key, 0, sizeof(key));",
        about_register,
    ),
    Rule(
        "stack-bounds",
        _STACK_ACCESS,
        "{helper}() takes {size} bytes at {variable}, the size of the map's {part}, and the variable is smaller.",
        "Declare the variable with the type in the map's __type({part}, ...).",
        _map_argument,
    ),
    Rule(
        "stack-bounds",
        _STACK_ACCESS,
        "An access to a local variable must stay inside it, and inside the 512 bytes of the stack.",
        "Bound the index or the size: i &= sizeof(array) - 1; or if (i >= sizeof(array)) return 0;",
        _stack,
    ),
    Rule(
        "context-field",
        r"invalid bpf_context access off=(?P<off>\d+) size=(?P<size>\d+)",
        "A program may access only certain fields of its context, each with its own size; {size} bytes at "
        "{off} are none of these for this program type (or may not be written).",
        "Check the context's type for this section: struct xdp_md, struct __sk_buff, struct pt_regs, the "
        "tracepoint's own struct; tracing programs take arguments through BPF_PROG().",
        _context,
    ),
    Rule(
        "context-modified",
        r"dereference of modified (?P<kind>\S+) ptr R(?P<reg>\d+) off=-?\d+ disallowed"
        r"|variable (?P<other>\S+) access var_off=\S+ \S+ disallowed|negative offset \S+ ptr R\d+",
        "Fields of the context and of kernel objects are read at fixed offsets from the pointer itself.",
        "Use constant indexes (switch (i) or an unrolled loop); read fields as ctx->field, not through a moved "
        "pointer; volatile, or barrier_var(ctx), keeps the compiler from moving it.",
        about_access,
    ),
    Rule(
        "map-read-only",
        r"write into map forbidden",
        "This map is read-only to programs: constants (.rodata) are, and maps with BPF_F_RDONLY_PROG.",
        "Drop const from the variable that the program writes; const volatile ones are set before the load only.",
        about_access,
    ),
    Rule(
        "map-write-only",
        r"read from map forbidden",
        "This map is write-only to programs (BPF_F_WRONLY_PROG).",
        "Drop the flag from the map's definition.",
        about_access,
    ),
    Rule(
        "memory-read-only",
        r"^R(?P<reg>\d+) cannot write into (?P<kind>\w+)",
        "This memory may be read and not written.",
        "Copy it to a local variable and change that.",
        about_register,
    ),
    Rule(
        "atomic",
        r"BPF_(?:ATOMIC|XADD) (?:stores into|loads from) R(?P<reg>\d+) \w+ is not allowed",
        "Atomic operations are for values of maps, globals and local variables.",
        "Write *p += 1 without the atomic operation, or count in a map's value or a global.",
        about_register,
    ),
    Rule(
        "map-member",
        r"map '(?P<map>[^']*)' has (?:no valid|to have BTF in order to use) (?P<member>bpf_\w+)",
        "The values of map '{map}' hold no struct {member}.",
        "Put a struct {member} into the struct of the map's __type(value, ...), and pass that member's address.",
        no_facts,
    ),
    Rule(
        "kernel-object-written",
        r"^only read is supported",
        "Objects of the kernel may be read and not written, but for a few fields of a few types.",
        "Use the helper or kernel function that changes it, or keep the value in a map of your own.",
        about_access,
    ),
    Rule(
        "kernel-object-bounds",
        r"access beyond (?P<kind>struct \w+"
        r"|the end of member .*?) (?:at off (?P<off>\d+) )?(?:\(?size[: ](?P<size>\d+))?",
        "An access must stay inside the kernel's {kind}.",
        "Cast to the type the object has; read an element behind a flexible array with bpf_probe_read_kernel().",
        about_access,
    ),
    Rule(
        "misaligned",
        r"misaligned (?P<kind>\w+) access off \S+ size (?P<size>\d+)",
        "{size} bytes at once can be read only at a multiple of {size}: on the stack always, elsewhere on some "
        "machines.",
        "Copy the bytes with __builtin_memcpy() into a variable of the right type.",
        about_access,
    ),
    Rule(
        "pointer-math",
        r"^R(?P<reg>\d+) (?:pointer \S+ pointer prohibited|bitwise operator \S+ on pointer prohibited"
        r"|pointer arithmetic (?:on \w+|with \S+ operator) prohibited|32-bit pointer arithmetic prohibited"
        r"|pointer comparison prohibited|tried to \S+ .*)",
        "A pointer may only be moved by a number that is added or subtracted; all else is forbidden.",
        "Compute with numbers and add the result to the pointer last; for the mere address cast to (long) a "
        "copy that is not dereferenced.",
        _pointer_math,
    ),
    Rule(
        "address-leak",
        r"^R(?P<reg>\d+) leaks addr (?:into|as)",
        "A program without CAP_PERFMON may not give away addresses of the kernel.",
        "Store a number that is no pointer, or load the program as root.",
        about_register,
    ),
    Rule(
        "spill",
        r"invalid size of register (?:fill|spill)|attempt to corrupt spilled pointer|corrupted spill memory",
        "A pointer kept in a local variable is stored and read whole, all 8 bytes at once.",
        "Do not cast the variable that holds a pointer to a smaller type, and do not overwrite a part of it.",
        about_access,
    ),
)
