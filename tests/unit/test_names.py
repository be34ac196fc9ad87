import pytest

from provisioner.core.errors import UsageError
from provisioner.core.names import MAX_LENGTH, check_instance_name, file_name


@pytest.mark.parametrize("name", ["default", "a", "7", "my-vm", "kernel_6.12", "x" * MAX_LENGTH])
def test_good_names_come_back_unchanged(name: str) -> None:
    assert check_instance_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a..b", "a/b", "/etc", "a b", " a", "a\n", "a\0", "'a'", '"a"', "-a", "--help", "a-",
     ".a", "a.", "A", "Dev", "größe", "дом", "x" * (MAX_LENGTH + 1), "x" * 300, "$(id)", "a;b", "a,b", "a=b",
     "a%b"],
)  # fmt: skip
def test_other_names_are_refused_with_one_that_would_do(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_instance_name(name)
    error = caught.value
    assert error.code == "bad-name"
    assert error.exit_status == 2
    suggestion = error.hint.split("for example ")[1].split("'")[1]
    assert check_instance_name(suggestion) == suggestion


def test_a_refused_name_is_shown_short_and_harmless() -> None:
    with pytest.raises(UsageError) as caught:
        check_instance_name("\x1b[31m" + "x" * 300)
    assert len(caught.value.brief) < 100
    assert caught.value.brief.isprintable()


def test_files_of_names_that_differ_by_case_only_are_two() -> None:
    names = [file_name(text) for text in ("prog-count", "prog-Count", "prog-COUNT", "prog/count", "prog count")]
    assert names[0] == "prog-count"
    assert len({name.lower() for name in names}) == len(names)
