"""Verifier logs explained; those in ``verifier_logs`` are what two kernels said of our own programs."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from provisioner.bpf.explain import Explanation, explain_log, find_among, find_in
from provisioner.bpf.explain.explanation import RULES
from provisioner.bpf.explain.verifier_log import Source, parse_log
from tests.refusals import PROGRAMS, REFUSALS

LOGS = Path(__file__).parent / "verifier_logs"
RECORDED = sorted(LOGS.glob("*/*.log"))
LINES_OF_C = find_among(PROGRAMS.glob("*.c"))


def explain(text: str) -> Explanation:
    found = explain_log(text, LINES_OF_C)
    assert found
    return found


def code_of(message: str) -> str:
    """The rule that the verifier's words lead to, when nothing else is known."""
    return explain(f"0: R1=ctx() R10=fp0\n0: (85) call bpf_x#1\n{message}\nprocessed 1 insns").code


@pytest.mark.parametrize("log", RECORDED, ids=lambda log: f"{log.parent.name}-{log.stem}")
def test_a_recorded_refusal(log: Path) -> None:
    refusal = next(item for item in REFUSALS if item.name == log.stem)
    found = explain(log.read_text())
    assert found.code == refusal.code
    assert refusal.here in (found.range or "")
    assert refusal.fix in found.fix
    if refusal.line and found.line:
        assert (found.file, found.line) == (str(refusal.file), refusal.line)
        assert any(re.match(rf">\s+{found.line} \|", line) for line in found.excerpt)


def test_every_refusal_is_recorded() -> None:
    assert {path.stem for path in RECORDED} == {refusal.name for refusal in REFUSALS}


#: Words of the verifier that the programs above do not bring about on one kernel, from kernel/bpf/verifier.c.
WORDS = [
    ("R1 offset is outside of the packet", "packet-bounds"),
    ("invalid access to packet, off=0 size=4, R2(id=3,off=0,r=0)", "packet-bounds"),
    ("R1 invalid mem access 'inv'", "not-a-pointer"),
    ("R1 invalid mem access 'map_ptr'", "wrong-pointer"),
    ("R1 invalid mem access 'ptr_or_null_'", "null-argument"),
    ("R1 min value is negative, either use unsigned index or do a if (index >=0) check.", "index-negative"),
    ("R0 min value is outside of the allowed memory range", "index-negative"),
    ("R0 max value is outside of the allowed memory range", "index-bounds"),
    ("R2 min value is negative, either use unsigned or 'var &= const'", "size-unbounded"),
    ("R2 invalid zero-sized read: u64=[0,16]", "size-zero"),
    ("invalid access to map value, value_size=8 off=8 size=4", "object-bounds"),
    ("invalid access to memory, mem_size=8 off=8 size=4", "object-bounds"),
    ("invalid access to flow keys off=56 size=4", "object-bounds"),
    (
        "invalid access to memory, mem_size=8 off=-4 size=4\nR1 min value is outside of the allowed memory range",
        "index-negative",
    ),
    ("invalid indirect read from stack R2 off -8+4 size 8", "stack-uninitialised"),
    ("invalid read from stack off -16+0 size 8", "stack-uninitialised"),
    ("invalid read from stack R10 off=-520 size=8", "stack-bounds"),
    ("invalid write to stack R10 off=-520 size=8", "stack-bounds"),
    ("invalid indirect access to stack R2 off=-600 size=8", "stack-bounds"),
    ("invalid variable-offset write to stack R2 var_off=(0xfffffffffffffff0; 0x1f) off=0 size=1", "stack-bounds"),
    ("invalid stack type R1 off=-520 access_size=600", "stack-bounds"),
    ("misaligned packet access off 0+2+13 size 4", "misaligned"),
    ("back-edge from insn 9 to 2", "endless-loop"),
    ("The sequence of 8193 jumps is too complex.", "too-complex"),
    ("BPF program is too large. Processed 131073 insn", "too-complex"),
    ("R3 !read_ok", "unset"),
    ("Possibly NULL pointer passed to trusted arg0", "null-passed"),
    ("Possibly NULL pointer passed to helper arg2", "null-passed"),
    ("R2 type=map_value_or_null expected=fp, pkt", "null-passed"),
    ("R1 type=inv expected=map_ptr", "wrong-argument"),
    ("R1 type=fp expected=ctx", "wrong-argument"),
    ("unknown func bpf_override_return#58", "helper-not-allowed"),
    ("unknown func bpf_kallsyms_lookup_name#193", "helper-not-allowed"),
    ("invalid func unknown#9999", "helper-unknown"),
    ("invalid func unknown#195896080", "field-absent"),
    ("helper call is not allowed in probe", "helper-not-allowed"),
    ("cannot call kernel function from non-GPL compatible program", "license"),
    ("dereference of modified ctx ptr R1 off=8 disallowed", "context-modified"),
    ("read from map forbidden, value_size=4 off=0 size=4", "map-write-only"),
    ("R1 cannot write into rdonly_mem", "memory-read-only"),
    ("R0 pointer arithmetic on map_value_or_null prohibited, null-check it first", "null-unchecked"),
    ("R1 bitwise operator &= on pointer prohibited", "pointer-math"),
    ("R1 pointer comparison prohibited", "pointer-math"),
    ("R1 32-bit pointer arithmetic prohibited", "pointer-math"),
    ("R1 leaks addr into map", "address-leak"),
    ("R0 leaks addr as return value", "address-leak"),
    ("invalid size of register fill", "spill"),
    ("invalid size of register spill", "spill"),
    ("attempt to corrupt spilled pointer on stack", "spill"),
    ("R2 is not a known constant'", "constant-needed"),
    (
        "kernel function bpf_x args#0 expected pointer to STRUCT a but R1 has a pointer to STRUCT b",
        "kfunc-argument",
    ),
    ("arg#0 expected pointer to ctx, but got fp", "kfunc-argument"),
    ("arg#0 pointer type STRUCT x must point to scalar, or struct with scalar", "kfunc-argument"),
    ("Caller passes invalid args into func#1 ('sum')", "global-call"),
    ("cannot pass map_type 27 into func bpf_map_lookup_elem#1", "map-type"),
    ("expected an initialized iter_num as arg #0", "object-state"),
    ("Dynptr has to be an uninitialized dynptr", "object-state"),
    ("expected uninitialized iter_num as arg #0", "object-state"),
    ("bpf_spin_unlock of different lock", "lock-order"),
    ("Locking two bpf_spin_locks are not allowed", "lock-order"),
    ("tracing progs cannot use bpf_spin_lock yet", "lock-type"),
    ("BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region", "lock-held"),
    ("program must be sleepable to call sleepable kfunc bpf_iter_css_new", "sleeps"),
    ("tail_calls are not allowed when call stack of previous frames is 300 bytes. Too large", "tail-call"),
    ("the call stack of 9 frames is too deep !", "stack-depth"),
    ("attach_btf_id 1234 is not a function", "target"),
    ("do_unlinkat() is not modifiable", "target"),
    ("kfunc 'no_such_kfunc' is referenced but wasn't resolved", "kfunc-absent"),
    ("BPF map 'counts' is referenced but wasn't created", "map-absent"),
    ("fmt str is not a const string", "format"),
    ("At program exit the register R0 has value (0x7; 0x0) should have been in (0x0; 0x1)", "verdict"),
    ("At async callback the register R0 has value (0x1; 0x0) should have been in (0x0; 0x0)", "verdict"),
    ("BPF_XADD stores into R1 ctx is not allowed", "atomic"),
    ("unknown opcode 8d", "indirect-call"),
    ("BPF_LD_[ABS|IND] instructions not allowed for this program type", "packet-load"),
    ("map 'counts' has no valid bpf_spin_lock", "map-member"),
    ("map 'counts' has to have BTF in order to use bpf_timer", "map-member"),
    ("tracing progs cannot use bpf_timer yet", "timer-type"),
    ("tracing progs cannot use bpf_wq yet", "timer-type"),
    ("value -8589934592 makes map_value pointer be out of bounds", "index-negative"),
    ("last insn is not an exit or jmp", "falls-off"),
    ("jump out of range from insn 3 to 9", "falls-off"),
    ("same insn cannot be used with different pointers", "same-instruction"),
]


@pytest.mark.parametrize(("message", "code"), WORDS)
def test_words_of_the_verifier(message: str, code: str) -> None:
    assert code_of(message) == code


def test_every_rule_is_tried() -> None:
    """Its sentences may name what nothing fills in, which only using them shows."""
    tried = {code for _, code in WORDS} | {refusal.code for refusal in REFUSALS} | {"null-dereference"}
    assert {rule.code for rule in RULES} == tried


def test_words_that_nobody_knows_are_shown_as_they_are() -> None:
    found = explain("0: R1=ctx()\n0: (95) exit\nsomething new\nprocessed 1 insns (limit 1000000)")
    assert (found.code, found.message, found.rule, found.fix) == ("other", "something new", "", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "root:x:0:0:root:/root:/bin/bash",
        "arg#0 reference type('UNKNOWN ') size cannot be determined: -22\n0: (95) exit\nprocessed 1 insns",
        "0: R1=ctx() R10=fp0\n0: (b7) r0 = 0   ; R0_w=0\n1: (95) exit\nprocessed 2 insns (limit 1000000)",
    ],
)
def test_what_is_no_refusal(text: str) -> None:
    assert explain_log(text, LINES_OF_C) is None


def test_the_object_in_the_report() -> None:
    found = explain((LOGS / "linux-6.12" / "packet_short_check.log").read_text()).to_json()
    assert found == json.loads(json.dumps(found))
    assert found["instruction"] == {"number": 6, "text": "(71) r1 = *(u8 *)(r1 +23)"}
    assert (found["register"], found["line"]) == ("R1", 18)
    assert found["message"].splitlines() == [
        "invalid access to packet, off=23 size=1, R1(id=0,off=23,r=14)",
        "R1 offset is outside of the packet",
    ]


def test_the_excerpt_marks_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "x.bpf.c"
    file.write_text("one\ntwo\n\treturn bad;\nfour\nfive\nsix\n")
    log = "0: (95) exit\nR0 !read_ok\nprocessed 1 insns"
    lines = {0: Source("return bad;", "./x.bpf.c", 3, 9)}
    found = explain_log(log, find_in([tmp_path]), lines)
    assert found
    assert found.excerpt == (
        "  1 | one",
        "  2 | two",
        "> 3 |         return bad;",
        "    |                ^",
        "  4 | four",
        "  5 | five",
    )
    assert (found.file, found.line) == (str(file), 3)


def test_a_file_that_has_changed_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "x.bpf.c").write_text("something else\n")
    log = "; return bad; @ x.bpf.c:1\n0: (95) exit\nR0 !read_ok\nprocessed 1 insns"
    found = explain_log(log, find_in([tmp_path]))
    assert found
    assert (found.excerpt, found.file) == (("> 1 | return bad;",), "x.bpf.c")


# --- logs of other kernels and loaders ------------------------------------------------------------------------

LINUX_5_10 = """\
0: (bf) r6 = r1
; __u32 key = 0;
1: (b7) r1 = 0
2: (63) *(u32 *)(r10 -4) = r1
last_idx 2 first_idx 0
regs=2 stack=0 before 1: (b7) r1 = 0
3: (bf) r2 = r10
4: (07) r2 += -4
; __u64 *value = bpf_map_lookup_elem(&counts, &key);
5: (18) r1 = 0xffff9f5d3c0e8800
7: (85) call bpf_map_lookup_elem#1
8: R0_w=map_value_or_null(id=1,off=0,ks=4,vs=8,imm=0) R6_w=ctx(id=0,off=0,imm=0) R10=fp0 fp-8=mmmm????
; *value += 1;
8: (79) r1 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 8 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


def test_a_log_without_file_names() -> None:
    found = explain(LINUX_5_10)
    assert (found.code, found.instruction, found.line) == ("null-unchecked", 8, None)
    assert found.excerpt == (">  | *value += 1;",)
    assert found.range == "R0 is a pointer to a value of a map (8 bytes), or NULL."
    assert found.fix == "Check it right after the call: if (!value) return 0;"


def test_registers_as_older_kernels_write_them() -> None:
    log = parse_log(
        "3: R0=inv(id=0,umax_value=255,var_off=(0x0; 0xff)) R1_w=inv7 R2=invP0 "
        "R3=pkt(id=2,off=14,r=34,imm=0) R10=fp0\n"
    )
    assert {name: register.kind for name, register in log.registers.items()} == {
        "R0": "scalar", "R1": "scalar", "R2": "scalar", "R3": "pkt", "R10": "fp",
    }  # fmt: skip
    assert log.registers["R1"].number("value") == 7
    assert log.registers["R0"].attributes["var_off"] == "(0x0; 0xff)"
    assert log.registers["R3"].number("r") == 34


def test_a_log_that_libbpf_wrapped() -> None:
    text = (
        "libbpf: prog 'opened': BPF program load failed: Invalid argument\n"
        "libbpf: prog 'opened': -- BEGIN PROG LOAD LOG --\n"
        f"{LINUX_5_10}-- END PROG LOAD LOG --\n"
        "libbpf: prog 'opened': failed to load: -22\nlibbpf: failed to load object 'opened_bpf'\n"
    )
    found = explain(text)
    assert (found.code, found.program) == ("null-unchecked", "opened")


# The layout is that of kernel/bpf/diagnostics.c; the program is ours.
LINUX_7_3 = """\
0: R1=ctx() R10=fp0
; __u64 *count = bpf_map_lookup_elem(&counts, &key); @ refused_lookup_unchecked.bpf.c:17
6: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1,map=counts,ks=4,vs=8)
; *count += 1; /* refused here */ @ refused_lookup_unchecked.bpf.c:19
7: (79) r1 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'

Verification failed: Register Type Safety: Invalid dereference

Reason:
  R0 may be NULL here (a nullable map value pointer). The program could dereference NULL on this
  path, so the verifier cannot prove this access is safe.

At:
  refused @ refused_lookup_unchecked.bpf.c:19:9
  Source context:
      17 |         __u64 *count = bpf_map_lookup_elem(&counts, &key);
      18 |
  >>> 19 |         *count += 1; /* refused here */
         |         ^-- error: invalid dereference
      20 |         return XDP_PASS;
  Instruction context:
      6 | (85) call bpf_map_lookup_elem#1
  >>> 7 | (79) r1 = *(u64 *)(r0 +0)
      8 | (07) r1 += 1

Causal path:
  refused @ refused_lookup_unchecked.bpf.c:17:17
  Source context:
  >>> 17 |         __u64 *count = bpf_map_lookup_elem(&counts, &key);
         |         ^-- update: R0 changed from uninitialized value to nullable map value from counts at offset 0

Suggestion:
  Check the pointer against NULL before using it.

processed 8 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


def test_the_report_of_linux_7_3() -> None:
    found = explain(LINUX_7_3)
    assert found.message == "R0 invalid mem access 'map_value_or_null'"
    assert (found.code, found.line, found.instruction) == ("null-unchecked", 19, 7)
    assert found.fix == "Check it right after the call: if (!count) return 0;"
    assert [line for line in found.excerpt if line.endswith("^")] == ["     |                ^"]


def test_the_kernels_own_words_serve_where_we_have_none() -> None:
    found = explain(LINUX_7_3.replace("R0 invalid mem access 'map_value_or_null'", "R0 is quite new"))
    assert found.code == "other"
    assert found.rule.startswith("R0 may be NULL here (a nullable map value pointer). The program could")
    assert found.rule.endswith("is safe.")
    assert found.fix == "Check the pointer against NULL before using it."


def test_a_million_lines_are_read_in_no_time() -> None:
    loop = "; i++; @ x.bpf.c:3\n2: (07) r1 += 1                       ; R1=1\n" * 100_000
    found = explain(
        f"{loop}3: (05) goto pc-2\nBPF program is too large. Processed 1000001 insn\nprocessed 1000001 insns"
    )
    assert (found.code, found.instruction) == ("too-complex", 3)


# --- lines of C from the object --------------------------------------------------------------------------------


def test_what_is_no_object_gives_no_lines(tmp_path: Path) -> None:
    from provisioner.bpf.explain import read_lines

    for data in (b"", b"hello", b"\x7fELF\x02\x01" + bytes(100), Path("/proc/self/exe").read_bytes()[:5000]):
        assert read_lines(data) == {}


def test_lines_of_an_object(tmp_path: Path) -> None:
    """With a compiler at hand; the VM tests read those of the guest's."""
    from provisioner.bpf.explain import read_lines

    source = tmp_path / "p.bpf.c"
    source.write_text(
        '__attribute__((section("xdp"), used))\nint first(int *context)\n{\n\treturn *context;\n}\n'
        '__attribute__((section("xdp"), used))\nint second(int *context)\n{\n\treturn *context + 1;\n}\n'
    )
    argv = ["clang", "-g", "-O2", "-target", "bpf", "-c", str(source), "-o", str(tmp_path / "p.o")]
    try:
        subprocess.run(argv, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no clang for BPF on this host")
    data = (tmp_path / "p.o").read_bytes()
    assert read_lines(data) == {}  # which of the two?
    lines = read_lines(data, "second")
    assert lines[min(lines)].line in (7, 9)
    assert any(line.text == "return *context + 1;" and line.line == 9 and line.column for line in lines.values())
