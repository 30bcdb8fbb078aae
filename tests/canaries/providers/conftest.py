from collections.abc import Iterator

import pytest
from vendor_server import VendorServer, serving


@pytest.fixture(scope="module")
def vendors() -> Iterator[VendorServer]:
    with serving() as server:
        yield server
