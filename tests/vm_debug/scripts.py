"""What the guest's shell runs with the debug kernel's own tools: fault injection and the search for leaks."""

from __future__ import annotations

# One allocation in 20, anywhere in the kernel, fails for those who ask for it.
_FAILING = """\
[ -d /sys/kernel/debug/failslab ] || mount -t debugfs debugfs /sys/kernel/debug
for kind in failslab fail_page_alloc; do
    cd /sys/kernel/debug/$kind
    echo 5 > probability
    echo 1000000 > times
    echo 0 > verbose
    echo Y > task-filter
    echo N > ignore-gfp-wait
done
echo N > ignore-gfp-highmem
echo 0 > min-order
cd /
COMMAND
status=$?
for kind in failslab fail_page_alloc; do
    left=$(cat /sys/kernel/debug/$kind/times)
    echo 0 > /sys/kernel/debug/$kind/probability
    [ $left -lt 1000000 ] && echo "ok - $kind: $((1000000 - left)) failed" || echo "not ok - $kind never failed"
done
exit $status
"""

# Objects younger than five seconds are not looked at, and only what two scans agree on is told.
_SCAN = """\
for scan in 1 2; do
    sleep 6
    echo scan > /sys/kernel/debug/kmemleak || { echo "not ok - kmemleak has given up"; exit 1; }
done
"""

LEAKS = f"""\
{_SCAN}
cat /sys/kernel/debug/kmemleak
[ -z "$(cat /sys/kernel/debug/kmemleak)" ] && echo "ok - nothing has leaked" || echo "not ok - leaks"
"""

# The control: such a search finds what has leaked.
PLANTED_LEAKS = f"""\
insmod /t/plant_leak.ko || exit 1
{_SCAN}
found=$(grep -c 'unreferenced object' /sys/kernel/debug/kmemleak)
echo clear > /sys/kernel/debug/kmemleak
[ $found -gt 0 ] && echo "ok - $found leaks of 16 that were planted" || echo "not ok - planted leaks are not found"
"""


def failing(command: str) -> str:
    """Run a command with fault injection set up."""
    return _FAILING.replace("COMMAND", command)
