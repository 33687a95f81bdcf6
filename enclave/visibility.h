/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Included before every C file of the LibOS (see Makefile): all of it is in one image, so that addresses of
 * functions need no global offset table.
 */
#pragma GCC visibility push(hidden)
