"""Rules about the program as a whole: loops, its length, its stack, what it returns."""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.bpf.explain.calls import called
from provisioner.bpf.explain.registers import describe
from provisioner.bpf.explain.rules import Facts, Rule, no_facts
from provisioner.bpf.explain.verifier_log import VerifierLog

_LOOP_FIX = (
    "Bound it by a constant that the verifier sees, for (int i = 0; i < 64; i++), and keep the counter in a plain "
    "variable; longer ones: bpf_for(i, 0, n) or bpf_loop(n, callback, &context, 0)."
)


def _verdict(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    callback = "callback" in log.text
    facts = {"kind": "this callback" if callback else "this type of program"}
    if known := log.registers.get("R0"):
        what = "callback" if callback else "program"
        facts |= {"register": "R0", "range": f"R0, what the {what} returns, is {describe(known)}."}
    return facts


def _stack(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    if groups["size"]:
        return {"range": f"{groups['calls']} functions that call each other use {groups['size']} bytes."}
    return {}


def _unset(groups: Mapping[str, str], log: VerifierLog) -> Facts | None:
    if groups["reg"] == "0" and (log.code or "").endswith("exit"):
        return {"register": "R0", "range": "R0, what the program returns, has not been set on this path."}
    return None


def _unset_register(groups: Mapping[str, str], log: VerifierLog) -> Facts:
    name = called(log.code)
    what = f"argument {groups['reg']} of {name}()" if name else "a variable in the line above"
    return {"register": f"R{groups['reg']}", "range": f"R{groups['reg']}, {what}, has not been set on this path."}


STRUCTURE_RULES = (
    Rule(
        "endless-loop",
        r"infinite loop detected at insn (?P<at>\d+)|back-edge from insn (?P<start>\d+) to (?P<to>\d+)",
        "The verifier must see a loop end; here nothing it knows of changes from one round to the next.",
        _LOOP_FIX,
        no_facts,
    ),
    Rule(
        "too-complex",
        r"BPF program is too large\. Processed (?P<count>\d+) insn"
        r"|The sequence of (?P<jumps>\d+) jumps is too complex|program too large",
        "The verifier follows every path, each round of a loop anew, and gives up after a million instructions "
        "(or 8192 branches waiting).",
        "Make loops shorter or turn them into bpf_for(i, 0, n) or bpf_loop(), whose body is followed once; "
        "move parts to functions without static, which are checked once; branch less inside loops.",
        no_facts,
    ),
    Rule(
        "no-result",
        r"^R(?P<reg>\d+) !read_ok",
        "A program must set its result before it ends: every path needs a return with a value.",
        "Return a number on every path, and give the variable that is returned a value where it is declared.",
        _unset,
    ),
    Rule(
        "unset",
        r"^R(?P<reg>\d+) !read_ok",
        "A variable must be given a value before it is used, on every path that leads there.",
        "Initialise it where it is declared; a call leaves nothing behind in the registers of its arguments.",
        _unset_register,
    ),
    Rule(
        "verdict",
        r"(?:At program exit|At async callback(?: return)?|In callback|At callback return) the register R0 .*?"
        r"should have been in (?P<wanted>[\[(].*[\])])",
        "What {kind} returns must be in {wanted}.",
        "Return only values of that range; a result that is computed: return x ? 1 : 0;",
        _verdict,
    ),
    Rule(
        "stack-depth",
        r"combined stack size of (?P<calls>\d+) calls is (?P<size>\d+)\. Too large"
        r"|stack frame size is (?P<frame>\d+)|the call stack of (?P<frames>\d+) frames is too deep",
        "The local variables of a function and of all that it calls must fit 512 bytes together, at most 8 "
        "calls deep.",
        "Keep large ones in a map: BPF_MAP_TYPE_PERCPU_ARRAY with one entry, looked up with key 0; or in a "
        "global.",
        _stack,
    ),
    Rule(
        "unreachable",
        r"unreachable insn (?P<at>\d+)",
        "Every instruction must be reachable; code behind an endless loop or an assembly exit is not.",
        "Remove it, or compile with -O2, which does.",
        no_facts,
    ),
    Rule(
        "falls-off",
        r"last insn is not an exit or jmp|jump out of range from insn (?P<at>\d+) to (?P<to>\d+)",
        "A function must end with a return; this one runs on into the next, mostly because of undefined "
        "behaviour in C that the compiler saw (division by 0, a missing return, an index it knows to be out of "
        "bounds).",
        "Read the compiler's warnings (-Wall), and return on every path.",
        no_facts,
    ),
    Rule(
        "indirect-call",
        r"unknown opcode 8d",
        "A program cannot call a function through a pointer.",
        "Call each by its name, if (x) a(); else b();, or use a BPF_MAP_TYPE_PROG_ARRAY and bpf_tail_call().",
        no_facts,
    ),
    Rule(
        "same-instruction",
        r"same insn cannot be used with different pointers",
        "One instruction may not read through pointers of two types; the compiler has merged two accesses into "
        "one.",
        'Keep them apart: make one of them volatile, or put barrier() (asm volatile("" ::: "memory")) between.',
        no_facts,
    ),
)
