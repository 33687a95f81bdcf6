"""Tests of teemate.ko on Debian's kernels, booted in QEMU."""
