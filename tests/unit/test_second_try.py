"""What is held back while a refusal may be cured, and what is not."""

from provisioner.bpf.protocol import Companion, Done, Message, Printk, RunnerError, Stage
from provisioner.workflows.second_try import Gate

REFUSED = RunnerError("verifier-rejected", "refused", "R2 32-bit pointer arithmetic prohibited", "", "prog")
NOT_LOADED = Stage("load", False, 0.1)
LOADED = Stage("load", True, 0.1)
FAILED = Done(7, "error")


def gate(*messages: Message, by_companion: bool = False) -> tuple[Gate, list[Message]]:
    passed = list[Message]()
    made = Gate(passed.append, by_companion)
    for message in messages:
        made.take(message)
    return made, passed


def test_a_refusal_is_held_back_until_the_gate_is_opened() -> None:
    made, passed = gate(REFUSED, NOT_LOADED, FAILED)
    assert (made.may_be_cured, made.loaded, passed) == (True, False, [])
    made.open()
    assert passed == [REFUSED, NOT_LOADED, FAILED]


def test_other_refusals_are_not_cured() -> None:
    error = RunnerError("verifier-rejected", "refused", "invalid mem access 'scalar'", "", "prog")
    assert not gate(error, NOT_LOADED, FAILED)[0].may_be_cured


def test_what_is_loaded_passes_at_once() -> None:
    made, passed = gate(LOADED, Printk("unbounded memory"), Stage("run", True, 1.0), Done(0, "time"))
    assert (made.may_be_cured, made.loaded, len(passed)) == (False, True, 4)


def test_a_companions_lines_pass_up_to_the_verifiers_words() -> None:
    hello, begin = Companion("stdout", "hello"), Companion("stderr", "libbpf: prog 'p': -- BEGIN PROG LOAD LOG --")
    words = Companion("stderr", "R0 unbounded memory access")
    made, passed = gate(hello, begin, words, Done(1, "finished"), by_companion=True)
    assert (made.may_be_cured, passed) == (True, [hello])
    made, passed = gate(hello, begin, words, Done(0, "time"), by_companion=True)
    assert (made.may_be_cured, len(passed)) == (False, 4)
