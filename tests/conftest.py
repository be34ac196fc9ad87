"""Options of the whole suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--home",
        metavar="DIR",
        help="keep goldens and instances of the VM tests there, so that the next time starts in seconds",
    )
