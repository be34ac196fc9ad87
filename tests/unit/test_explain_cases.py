"""Refusals in the same words that have different causes."""

from __future__ import annotations

import pytest

from provisioner.bpf.explain import Explanation, explain_log


def explain(text: str) -> Explanation:
    found = explain_log(text, lambda source: None)
    assert found
    return found


def test_a_null_pointer_is_told_from_a_number() -> None:
    found = explain("0: (b7) r1 = 0    ; R1=0\n1: (61) r0 = *(u32 *)(r1 +0)\nR1 invalid mem access 'scalar'\n")
    assert (found.code, found.range) == ("null-dereference", "R1 is 0, that is NULL, on this path.")


def test_an_object_of_unknown_size() -> None:
    found = explain("0: (61) r0 = *(u32 *)(r1 +56)\ninvalid access to flow keys off=56 size=4\nprocessed 1 insns")
    assert found.rule == "An access must stay inside the object."


@pytest.mark.parametrize(
    ("words", "call", "part"),
    [
        ("read from stack R2 off=-4 size=8", "bpf_map_delete_elem(&counts, &small)", "key"),
        ("indirect access to stack R2 off=-4 size=8", "bpf_map_lookup_elem(&counts, &small)", "key"),
        ("read from stack R3 off=-4 size=8", "bpf_map_update_elem(&counts, &key, &small, 0)", "value"),
        ("read from stack R2 off=-4 size=8", "bpf_map_push_elem(&counts, &small, 0)", "value"),
        ("write to stack R2 off=-4 size=8", "bpf_map_pop_elem(&counts, &small)", "value"),
    ],
)
def test_a_variable_smaller_than_the_maps_type(words: str, call: str, part: str) -> None:
    helper = call.partition("(")[0]
    found = explain(f"; {call}; @ x.bpf.c:9\n3: (85) call {helper}#1\ninvalid {words}\nprocessed 4 insns")
    assert found.rule == (
        f"{helper}() takes 8 bytes at &small, the size of the map's {part}, and the variable is smaller."
    )
    assert f"__type({part}, ...)" in found.fix


def test_a_maps_argument_beyond_the_stack_is_no_small_variable() -> None:
    found = explain(
        "3: (85) call bpf_map_lookup_elem#1\ninvalid read from stack R2 off=-600 size=8\nprocessed 4 insns"
    )
    assert "512 bytes of the stack" in found.rule


@pytest.mark.parametrize(
    ("offsets", "where", "fix"),
    [
        ("smin=0,smax=umax=255,var_off=(0x0; 0xff)", "off=0", "(void *)(p + 1) > data_end"),
        ("smin=0,smax=umax=255,var_off=(0x0; 0xff)", "off=-4", "if (i < 0)"),
        ("smin=0,smax=umax=65535,var_off=(0x0; 0xffff)", "off=0", "i &= 1023"),
        ("smin=0,var_off=(0x0; 0xffffffffffffff)", "off=0", "i &= 1023"),
    ],
)
def test_what_a_comparison_with_the_packets_end_is_worth(offsets: str, where: str, fix: str) -> None:
    found = explain(
        f"9: (0f) r1 += r3  ; R1=pkt(id=1,r=0,{offsets})\n10: (71) r0 = *(u8 *)(r1 +0)\n"
        f"invalid access to packet, {where} size=1, R1(id=1,{where},r=0)\n"
        "R1 offset is outside of the packet\nprocessed 11 insns"
    )
    assert found.code == "packet-bounds"
    assert fix in found.fix
    assert "data + " not in found.fix


RESERVED = """\
0: R1=ctx() R10=fp0
4: (85) call bpf_ringbuf_reserve#131  ; R0=ringbuf_mem_or_null(id=2,ref_obj_id=2,sz=24) refs=2
5: (bf) r6 = r0                       ; R6=ringbuf_mem_or_null(id=2,ref_obj_id=2,sz=24) refs=2
6: (15) if r6 == 0x0 goto pc+9        ; R6=ringbuf_mem(ref_obj_id=2,sz=24) refs=2
7: (bf) r1 = r6         ; R1=ringbuf_mem(ref_obj_id=2,sz=24) R6=ringbuf_mem(ref_obj_id=2,sz=24) refs=2
8: (b7) r2 = 0                        ; R2=0 refs=2
9: (85) call bpf_ringbuf_submit#132   ;
"""


@pytest.mark.parametrize(
    ("log", "code"),
    [
        (
            f"{RESERVED}10: (bf) r1 = r6  ; R1=scalar(id=3) R6=scalar(id=3)\n11: (07) r1 += 8  ; R1=scalar()\n"
            "12: (b4) w2 = 16  ; R2=16\n13: (85) call bpf_get_current_comm#16\n"
            "R1 type=scalar expected=fp, pkt, map_value, mem, ringbuf_mem\n",
            "released",
        ),
        (
            f"{RESERVED}10: (85) call bpf_get_prandom_u32#7  ; R0=scalar()\n"
            "11: (15) if r0 == 0x0 goto pc+2 14: R0=0 R6=scalar() R10=fp0\n14: (61) r3 = *(u32 *)(r6 +0)\n"
            "R6 invalid mem access 'scalar'\n",
            "released",
        ),
        (
            f"{RESERVED}10: (85) call bpf_get_current_task#35 ; R0=scalar()\n11: (bf) r6 = r0 ; R6=scalar(id=3)\n"
            "12: (61) r3 = *(u32 *)(r6 +0)\nR6 invalid mem access 'scalar'\n",
            "not-a-pointer",
        ),
        (
            f"{RESERVED}10: (79) r1 = *(u64 *)(r10 -8)  ; R1=scalar()\n11: (61) r3 = *(u32 *)(r1 +0)\n"
            "R1 invalid mem access 'scalar'\n",
            "not-a-pointer",
        ),
        (
            "4: (85) call bpf_task_acquire#65886  ; R0=ptr_task_struct(ref_obj_id=2)\n"
            "5: (bf) r6 = r0  ; R6=ptr_task_struct(ref_obj_id=2)\n6: (85) call bpf_task_release#65901  ;\n"
            "7: (bf) r1 = r6  ; R1=scalar(id=3) R6=scalar(id=3)\n8: (85) call bpf_task_release#65901\n"
            "arg#0 pointer type STRUCT task_struct must point to scalar, or struct with scalar\n",
            "released",
        ),
        (
            "3: (61) r6 = *(u32 *)(r1 +0)  ; R6=pkt(r=0)\n4: (85) call bpf_sk_release#86  ; R0=scalar()\n"
            "5: (79) r6 = *(u64 *)(r7 +0)  ; R6=scalar()\n6: (61) r3 = *(u32 *)(r6 +0)\n"
            "R6 invalid mem access 'scalar'\n",
            "not-a-pointer",
        ),
    ],
    ids=["copy", "other-branch", "number-since", "number-in-argument", "kernel-function", "packet-stays"],
)
def test_what_was_given_back_is_told_from_a_number(log: str, code: str) -> None:
    assert explain(f"{log}processed 14 insns").code == code
