#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Checks the LibOS image: nothing in it may enter the kernel, be written to, or depend on where it was built.
#
#   .ci/check-image.sh [IMAGE]        check an image, build/libos.elf unless named
#   .ci/check-image.sh --reproducible build the image in two directories and compare the bytes
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)

fail() {
    echo "check-image: $*" >&2
    exit 1
}

# SYSCALL (0f 05), SYSENTER (0f 34) and INT 80h (cd 80), with or without prefixes: in an enclave they fault, or on
# the software model reach the host's kernel with the LibOS's registers. By name and by the bytes of each instruction.
check_no_kernel_entry() {
    local found
    found=$(objdump -d --no-show-raw-insn "$1" | grep -E $'\t(syscall|sysenter|int +\\$0x80)' || true)
    [[ -z $found ]] || fail "$1 enters the kernel by itself:"$'\n'"$found"
    found=$(objdump -dw "$1" | grep -E $'^ *[0-9a-f]+:\t((26|2e|36|3e|64|65|66|67|f0|f2|f3|4[0-9a-f]) )*(0f 05|0f 34|cd 80) ' ||
        true)
    [[ -z $found ]] || fail "$1 holds the bytes of a kernel entry:"$'\n'"$found"
    objdump -d "$1" | grep -c '<enclave_entry>:' >/dev/null || fail "$1 could not be disassembled"
}

check_segments() {
    local flags found=0
    while read -r flags; do
        found=$((found + 1))
        [[ $flags != *W* ]] || fail "$1 has a writable segment ($flags): state belongs in the compartment"
    done < <(readelf -lW "$1" | awk '$1 == "LOAD" { f = ""; for (i = 7; i < NF; i++) f = f $i; print f }')
    ((found == 2)) || fail "$1 has $found loadable segments; text and read-only data are expected"
    if readelf -SW "$1" | grep -E ' (\.data|\.bss|\.tdata|\.tbss|\.got|\.dynamic|\.interp) '; then
        fail "$1 has sections that a read-only image at one address cannot have"
    fi
}

check_linked() {
    readelf -rW "$1" | grep -c 'There are no relocations' >/dev/null || fail "$1 needs relocation"
    local undefined
    undefined=$(nm --undefined-only "$1")
    [[ -z $undefined ]] || fail "$1 has undefined symbols:"$'\n'"$undefined"
    local entry
    entry=$(nm "$1" | awk '$3 == "enclave_entry" { print $1 }')
    [[ -n $entry ]] || fail "$1 has no symbol enclave_entry"
    readelf -hW "$1" | grep -c "Entry point address: *$(printf '0x%x' "0x$entry")\$" >/dev/null || fail "$1 does not start at enclave_entry"
}

check_reproducible() {
    local directory
    directory=$(mktemp -d)
    # shellcheck disable=SC2064 # the name is known now, not when the shell ends
    trap "rm -rf '$directory'" EXIT
    for place in one two-with-a-longer-name; do
        mkdir -p "$directory/$place"
        cp -r "$ROOT/enclave" "$directory/$place/enclave"
    done
    # Neither the time zone, the locale nor the build directory may matter.
    env -i PATH="$PATH" TZ=UTC LANG=C make -s -C "$directory/one/enclave" BUILD="$directory/one/build"
    env -i PATH="$PATH" TZ=Asia/Tokyo LANG=C.UTF-8 make -s -C "$directory/two-with-a-longer-name/enclave"
    cmp "$directory/one/build/libos.elf" "$directory/two-with-a-longer-name/build/libos.elf" ||
        fail "the image depends on where it is built"
}

case ${1-} in
--reproducible)
    check_reproducible
    ;;
-*)
    fail "unknown option $1"
    ;;
*)
    image=${1:-$ROOT/build/libos.elf}
    [[ -f $image ]] || fail "$image is missing: run \`make enclave\`"
    check_no_kernel_entry "$image"
    check_segments "$image"
    check_linked "$image"
    ;;
esac
