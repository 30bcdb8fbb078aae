import os
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

import alerts
import canaries
import dashboards
import monitor


@pytest.mark.parametrize(
    "package", [monitor, canaries, alerts, dashboards], ids=lambda package: package.__name__
)
def test_the_package_under_test_is_the_one_that_was_meant(package):
    site_packages = Path(sysconfig.get_paths()["purelib"])
    is_from_wheel = site_packages in Path(package.__file__).parents
    assert is_from_wheel == (os.environ.get("ANCHORWATCH_EXPECT_WHEEL") == "1")


@pytest.mark.parametrize(
    "package", [monitor, canaries, alerts, dashboards], ids=lambda package: package.__name__
)
def test_type_checkers_of_users_see_our_types(package):
    assert (Path(package.__file__).parent / "py.typed").is_file()


def test_the_distribution_installs_the_command():
    [script] = metadata.entry_points(group="console_scripts", name="anchorwatch")
    assert callable(script.load())
