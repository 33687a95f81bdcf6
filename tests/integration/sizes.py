"""How much the scale tests do. The defaults keep `make test` short; `make test-soak` sets the full numbers."""

import os


def _size(variable: str, default: int) -> int:
    return int(os.environ.get(variable, default))


ROW = _size("TEEMATE_TEST_ROW", 60)  # containers started and ended one after the other
AT_ONCE = _size("TEEMATE_TEST_AT_ONCE", 24)  # containers alive together
KILLS = _size("TEEMATE_TEST_KILLS", 30)  # containers killed at random moments
SEED = _size("TEEMATE_TEST_SEED", 20241117)
