#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Install the missing ones of packages.txt and see that control groups are mounted. Safe to run again.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")

missing=()
while read -r package; do
    [[ $package == "" || $package == \#* ]] && continue
    dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done <"$here/packages.txt"

if ((${#missing[@]})); then
    if ((EUID != 0)); then
        echo "setup: missing packages: ${missing[*]}; install them or run this as root" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null
fi

if ((EUID == 0)) && ! awk '$3 ~ /^cgroup2?$/ { found = 1 } END { exit !found }' /proc/mounts; then
    # as on a machine with systemd; without it somebody has to
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
