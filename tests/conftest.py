"""Options of the whole suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--home",
        metavar="DIR",
        help="keep goldens and instances of the VM tests there, so that the next time starts in seconds",
    )
    parser.addoption("--nightly", action="store_true", help="also run what takes many minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is for the night, unless it is asked for."""
    if config.getoption("--nightly") or "nightly" in config.getoption("-m"):
        return
    left_out = [item for item in items if item.get_closest_marker("nightly")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
