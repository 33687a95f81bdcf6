"""The whole product against containerd, dockerd and runc."""

import pytest

pytest.register_assert_rewrite("tests.integration.comparison", "tests.harness.leaks")
