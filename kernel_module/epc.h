/* SPDX-License-Identifier: GPL-2.0 */
/* Emulated EPC pages: ordinary memory, counted, charged to who asks for it, and erased on the way out. */
#ifndef TEEMATE_EPC_H
#define TEEMATE_EPC_H

#include <linux/atomic.h>
#include <linux/mm_types.h>
#include <linux/xarray.h>

struct teemate_enclave;

void epc_init(void);
unsigned long epc_limit(void);
long epc_in_use(void);
bool epc_charge(atomic_long_t *count, u64 limit);
struct page *epc_alloc_page(struct teemate_enclave *enclave, bool *limited);
void epc_free_page(struct teemate_enclave *enclave, struct page *page);
unsigned long epc_free_all(struct teemate_enclave *enclave, struct xarray *pages, unsigned long first,
			   unsigned long last);

#endif
