"""Programs in ``tests/vm/programs`` that the verifier refuses, and what is to be said about each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).parent / "vm" / "programs"
MARK = "/* refused here */"


@dataclass(frozen=True)
class Refusal:
    """A program ``refused_NAME.bpf.c``; ``here`` and ``fix`` are words of what is said of its value and cure."""

    name: str
    code: str
    here: str = ""
    fix: str = ""

    @property
    def file(self) -> Path:
        return PROGRAMS / f"refused_{self.name}.bpf.c"

    @property
    def line(self) -> int | None:
        """The line that carries the mark; None where compilers differ about it."""
        lines = self.file.read_text().splitlines()
        return next((number for number, line in enumerate(lines, 1) if MARK in line), None)


REFUSALS = (
    Refusal("absent_kfunc", "kfunc-absent", fix="bpf_ksym_exists(no_such_kfunc)"),
    Refusal("absent_field", "field-absent", fix="bpf_core_field_exists"),
    Refusal("atomic", "atomic", "is a pointer into the packet", "*p += 1"),
    Refusal("call_under_lock", "under-lock", fix="Call bpf_get_prandom_u32() before"),
    Refusal("constant_written", "map-read-only", "R1 is a pointer to a value of map .rodata (4 bytes)"),
    Refusal("context_index", "context-modified", "context pointer at an offset from 0 to 12"),
    Refusal("context_offset", "context-field", fix="struct xdp_md"),
    Refusal("dynptr", "object-state", "Argument 3 of bpf_dynptr_read(), &dynptr,"),
    Refusal("endless_loop", "endless-loop", fix="bpf_for(i, 0, n)"),
    Refusal("foreign_helper", "helper-not-allowed"),
    Refusal("foreign_kfunc", "kfunc-not-allowed"),
    Refusal("format", "format"),
    Refusal("global_function", "null-argument", "R1 is a pointer to memory (8 bytes), or NULL", "static"),
    Refusal("global_void", "global-result", fix="Let it return int"),
    Refusal("index_below", "index-negative", "The access may be to bytes -16 to -13", "__u32 i"),
    Refusal("index_negative", "index-negative", "maybe negative", "__u32 i"),
    Refusal("index_signed", "index-negative", "is a number", "__u32 i"),
    Refusal("index_too_large", "index-bounds", "offset from 0 to 124. The access may be to bytes 124 to 127"),
    Refusal("index_unbounded", "index-bounds", "map tables (64 bytes) at an offset from 0 to 17179869180"),
    Refusal("iterator", "not-released", "bpf_iter_num_new() at", "bpf_iter_num_destroy(&it)"),
    Refusal("kernel_object_offset", "kernel-object-bounds", "struct task_struct at +1000000"),
    Refusal("kernel_object_written", "kernel-object-written", "trusted pointer to struct task_struct"),
    Refusal("key_too_small", "stack-bounds", "4 bytes from its end; 8 are accessed", "__type(key, ...)"),
    Refusal("license", "license", fix='SEC("license") = "GPL"'),
    Refusal(
        "lookup_unchecked", "null-unchecked", "value of map counts (8 bytes), or NULL", "if (!count) return 0;"
    ),
    Refusal("loop_in_memory", "endless-loop"),
    Refusal("misaligned", "misaligned"),
    Refusal("not_submitted", "not-released", "in line 14 handed it out", "bpf_ringbuf_submit(event, 0)"),
    Refusal("number_as_pointer", "not-a-pointer", "R0 is a number that may be anything", "BPF_CORE_READ"),
    Refusal("packet_far", "packet-bounds", "at an offset from 0 to 4294967295", "i &= 1023"),
    Refusal(
        "packet_header", "packet-bounds", "behind a part that varies; nothing of it", "(void *)(p + 1) > data_end"
    ),
    Refusal("packet_in_front", "packet-bounds", "the access is to byte -2", "if (i < 0)"),
    Refusal("packet_moved", "packet-moved", "pointed into the packet before bpf_xdp_adjust_head()", "ctx->data"),
    Refusal("packet_read_only", "packet-read-only", "R1 is a pointer into the packet"),
    Refusal(
        "packet_short_check", "packet-bounds", "its first 14 bytes are known to be there", "data + 24 > data_end"
    ),
    Refusal("packet_unchecked", "packet-bounds", "the access is to byte 14", "data + 15 > data_end"),
    Refusal("pointer_sum", "pointer-math", "R0 is a pointer into the packet"),
    Refusal("rcu_held", "lock-held", fix="bpf_rcu_read_unlock()"),
    Refusal("reserve_unchecked", "null-unchecked", "reserved record (8 bytes), or NULL", "if (!event) return 0;"),
    Refusal("reserved_too_small", "object-bounds", "The access may be to bytes 8 to 15", "sizeof(*e)"),
    Refusal("size_too_large", "stack-bounds", "64 bytes from its end; 127 are accessed"),
    Refusal(
        "size_unbounded", "size-unbounded", "R2 is a number that may be anything", "if (size > sizeof(buffer))"
    ),
    Refusal("size_unchecked", "size-unbounded", "R2 is a number of at least 0", "if (size > sizeof(buffer))"),
    Refusal("sleeps", "sleeps", fix="bpf_probe_read_user()"),
    Refusal("stack_depth", "stack-depth", "bytes", "BPF_MAP_TYPE_PERCPU_ARRAY"),
    Refusal("stack_index", "stack-bounds", "stack at an offset from -16 to 4294967279"),
    Refusal(
        "submitted_twice",
        "released",
        "R1 was a pointer to a reserved record before bpf_ringbuf_submit()",
        "give it back only once",
    ),
    Refusal("timer", "verdict", "what the callback returns, is the number 1"),
    Refusal("too_long", "too-complex", fix="bpf_loop()"),
    Refusal("uninitialised", "no-result", "R0, what the program returns, has not been set"),
    Refusal("unreachable", "unreachable"),
    Refusal("untrusted_argument", "untrusted-pointer", "task->last_wakee, is a pointer to struct task_struct"),
    Refusal("used_after_discard", "released", "a reserved record before bpf_ringbuf_discard()"),
    Refusal(
        "used_after_release",
        "released",
        "was a pointer to a socket before bpf_sk_release()",
        "Use it before that call",
    ),
    Refusal(
        "used_after_submit",
        "released",
        "was a pointer to a reserved record before bpf_ringbuf_submit() and is a mere number since",
        "copy what is needed",
    ),
    Refusal("value_too_small", "object-bounds", "The access may be to bytes 0 to 13", "__type(value, ...)"),
    Refusal("verdict", "verdict", "R0, what the program returns, is the number 7", "x ? 1 : 0"),
    Refusal(
        "wrong_argument", "wrong-argument", "Argument 2 of bpf_map_lookup_elem(), key, is a number", "&variable"
    ),
)
