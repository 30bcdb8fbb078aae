import os
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

import alerts
import canaries
import dashboards
import monitor

CHECKOUT = Path(__file__).parents[1]
IS_WHEEL_EXPECTED = os.environ.get("ANCHORWATCH_EXPECT_WHEEL") == "1"
MADE_HERE = (".pyc", ".so")

of_each_package = pytest.mark.parametrize(
    "package", [monitor, canaries, alerts, dashboards], ids=lambda package: package.__name__
)


def files_of(root: Path) -> dict[str, bytes]:
    """What is in the folder, by its path from there; without what Python and compilers leave."""
    files = (path for path in root.rglob("*") if path.is_file() and path.suffix not in MADE_HERE)
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@of_each_package
def test_the_package_under_test_is_the_one_that_was_meant(package):
    site_packages = Path(sysconfig.get_paths()["purelib"])
    is_from_wheel = site_packages in Path(package.__file__).parents
    assert is_from_wheel == IS_WHEEL_EXPECTED


@pytest.mark.skipif(not IS_WHEEL_EXPECTED, reason="the package is the checkout")
@of_each_package
def test_the_wheel_holds_every_file_of_the_checkout(package):
    installed, ours = (
        files_of(root) for root in (Path(package.__file__).parent, CHECKOUT / package.__name__)
    )
    assert sorted(installed) == sorted(ours)
    assert installed == ours


@of_each_package
def test_type_checkers_of_users_see_our_types(package):
    assert (Path(package.__file__).parent / "py.typed").is_file()


def test_the_distribution_installs_the_command():
    [script] = metadata.entry_points(group="console_scripts", name="anchorwatch")
    assert callable(script.load())
