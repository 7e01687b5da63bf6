# SPDX-License-Identifier: Apache-2.0
"""Of each bench's planted errors the first one runs under `make test`, all of them under `make regress` (or with ``-m ""``).

Of the lanes `make test` covers 4 and 8 with the whole chip, 8 and 16 with its units; `make regress` covers all with both.
"""

from collections import Counter

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    seen: Counter = Counter()
    for item in items:
        if "planted_error" in item.name:
            test = item.nodeid.split("[")[0]
            seen[test] += 1
            if seen[test] > 1:
                item.add_marker(pytest.mark.regress)
