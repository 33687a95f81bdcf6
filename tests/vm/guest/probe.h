/* SPDX-License-Identifier: Apache-2.0 */
/* An enclave of /dev/sgx_enclave, entered over the kernel's vDSO. */
#ifndef TEST_PROBE_H
#define TEST_PROBE_H
#include <asm/sgx.h>
#include <stdint.h>

#include "probe_ops.h"

#define EENTER 2
#define ERESUME 3
#define EEXIT 4

/* Build one from /t/probe.enclave, unmapped. Its descriptor, or -errno. */
int probe_build(void);
/* The same through /dev/teemate, for leases on it. */
int probe_build_to_lease(void);
/* Map what was added. 0 or -errno. */
int probe_map(int enclave);
void probe_unmap(void);
uint64_t probe_tcs(unsigned int number);

/* Call the vDSO. run: function and exception_* say how it ended. */
void probe_run(unsigned int leaf, unsigned int tcs, uint64_t op, uint64_t *words, struct sgx_enclave_run *run);
/* The vDSO's ENCLU: the AEP. 0 if this kernel has none. */
uint64_t probe_aep(void);
/* One ENCLU with these in RAX, RBX, RCX, RDI, RSI; RAX after it */
uint64_t probe_enclu(uint64_t leaf, uint64_t rbx, uint64_t rcx, uint64_t rdi, uint64_t rsi);
#endif
