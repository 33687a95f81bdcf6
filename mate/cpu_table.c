/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID answers from the lease grant. In a virtual machine each CPUID is an exit to the hypervisor, and with CPUID
 * faulting armed a signal besides; a dynamic program's start asks some seventy times. So the daemon asks once
 * (`mate cpuid`) and every grant carries the answers. They are host data wherever they come from.
 */
#include "cpu_table.h"

#include "cpu.h"
#include "lease.h"
#include "log.h"
#include "syscall.h"

#define LEAF_EXTENDED 0x80000000u
#define LEAF_EXTENDED_MAX 0x80000020u
#define LEAF_TOPOLOGY 0xbu
#define LEAF_XSAVE 0xdu
#define LEAF_TOPOLOGY_2 0x1fu
#define LEAF_BASIC_MAX 0x20u
#define SUBLEAVES_MAX 16u
#define STDOUT 1

static struct {
    struct lease_cpuid entries[LEASE_CPUID_MAX];
    uint32_t count;
} table;

void cpu_table_read(int grant)
{
    long size = syscall4(__NR_pread64, grant, table.entries, sizeof(table.entries), sizeof(struct lease_grant));

    if (size < 0 || size % sizeof(table.entries[0]))
        die("bad lease grant: the table of CPUID answers is cut. Use a mate and a host daemon of the same release");
    table.count = size / sizeof(table.entries[0]);
}

int cpu_table_find(uint32_t leaf, uint32_t subleaf, struct cpuid *answer)
{
    for (uint32_t i = 0; i < table.count; i++) {
        const struct lease_cpuid *entry = &table.entries[i];

        if (entry->leaf == leaf && entry->subleaf == subleaf) {
            *answer = (struct cpuid){entry->eax, entry->ebx, entry->ecx, entry->edx};
            return 1;
        }
    }
    return 0;
}

struct cpuid cpu_leaf(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid answer;

    return cpu_table_find(leaf, subleaf, &answer) ? answer : cpu_identify(leaf, subleaf);
}

struct cpuid cpu_leaf_on(const struct sgx_thread *thread, uint32_t leaf, uint32_t subleaf)
{
    struct cpuid answer;

    return cpu_table_find(leaf, subleaf, &answer) ? answer : sgx_cpuid(thread, leaf, subleaf);
}

static int has_subleaves(uint32_t leaf)
{
    return leaf == 0x4 || leaf == 0x7 || leaf == LEAF_TOPOLOGY || leaf == LEAF_XSAVE || leaf == LEAF_TOPOLOGY_2 ||
           leaf == 0x8000001d;
}

/* Of a topology leaf's unused levels only ECX and EDX say something: the level asked for, and this CPU's id. */
static int is_empty(uint32_t leaf, const struct cpuid *answer)
{
    if (leaf == LEAF_TOPOLOGY || leaf == LEAF_TOPOLOGY_2)
        return !answer->ebx;
    return !(answer->eax | answer->ebx | answer->ecx | answer->edx);
}

static void ask(uint32_t leaf)
{
    for (uint32_t subleaf = 0; subleaf < (has_subleaves(leaf) ? SUBLEAVES_MAX : 1); subleaf++) {
        struct cpuid answer = cpu_identify(leaf, subleaf);

        /* XSAVE's components have gaps between them, which dynamic linkers ask about, too */
        int last = subleaf && leaf != LEAF_XSAVE && is_empty(leaf, &answer);

        if (table.count == LEASE_CPUID_MAX)
            return;
        table.entries[table.count++] =
            (struct lease_cpuid){leaf, subleaf, answer.eax, answer.ebx, answer.ecx, answer.edx};
        if (last)
            return; /* programs count up to the first empty one, so it is in the table */
    }
}

_Noreturn void cpu_table_print(void)
{
    uint32_t basic = cpu_identify(0, 0).eax, extended = cpu_identify(LEAF_EXTENDED, 0).eax;
    long size;

    for (uint32_t leaf = 0; leaf <= basic && leaf <= LEAF_BASIC_MAX; leaf++)
        ask(leaf);
    for (uint32_t leaf = LEAF_EXTENDED; leaf <= extended && leaf <= LEAF_EXTENDED_MAX; leaf++)
        ask(leaf);
    size = table.count * sizeof(table.entries[0]);
    if (syscall3(__NR_write, STDOUT, table.entries, size) != size)
        die("cannot write the CPUID table");
    for (;;)
        syscall1(__NR_exit_group, 0);
}
