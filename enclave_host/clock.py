"""Whether enclaves may compute the time from the time-stamp counter (enclave/clock.c)."""

from pathlib import Path

_CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")


def host_has_tsc_clock() -> bool:
    """The kernel's own clock runs by the counter: it has checked that all processors agree on it."""
    try:
        return _CLOCK_SOURCE.read_text().strip() == "tsc"
    except OSError:
        return False
