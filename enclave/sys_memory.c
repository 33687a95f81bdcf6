// SPDX-License-Identifier: Apache-2.0
/* Memory system calls: checks of arguments; the work is done in memory_*.c. */
#include <asm/errno.h>
#include <asm/unistd.h>
#include <linux/mman.h>

#include "memory.h"
#include "syscall.h"

#define PROT_KNOWN (PROT_READ | PROT_WRITE | PROT_EXEC)
/* Larger than any address space: rounding up to pages cannot overflow below it. */
#define SIZE_LIMIT (1UL << 47)

/* A page-aligned range within the address space; its size rounded up to pages. */
static int page_range(uint64_t address, uint64_t *size)
{
    if (address % PAGE_SIZE || *size > SIZE_LIMIT || address > SIZE_LIMIT)
        return 0;
    *size = PAGE_ALIGN_UP(*size);
    return 1;
}

static int is_mapped(struct compartment *compartment, uint64_t address, uint64_t size)
{
    struct memory *memory = &compartment->memory;
    spin_lock(&memory->lock);
    int result = vma_covers(&memory->vmas, address, address + size);
    spin_unlock(&memory->lock);
    return result;
}

static long map_private(struct syscall *call, uint64_t size)
{
    uint32_t prot = (uint32_t)call->args[2], flags = (uint32_t)call->args[3];
    /* Shared anonymous memory is shared with children only: without fork it is as good as private. */
    if (flags & MAP_ANONYMOUS)
        return memory_map_anonymous(call->compartment, call->args[0], size, prot, flags, 0);
    const struct memory_request request = {
        .address = call->args[0],
        .size = size,
        .prot = prot,
        .map_flags = flags,
    };
    return memory_map_file(call->compartment, &request, (int)call->args[4], call->args[5]);
}

long sys_mmap(struct syscall *call)
{
    uint64_t address = call->args[0], size = call->args[1], offset = call->args[5];
    uint32_t prot = (uint32_t)call->args[2], flags = (uint32_t)call->args[3];
    int fixed = !!(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)), anonymous = !!(flags & MAP_ANONYMOUS);
    uint32_t type = flags & MAP_TYPE;

    if (!size || offset % PAGE_SIZE || (fixed && address % PAGE_SIZE))
        return -EINVAL;
    if (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE)
        return -EINVAL;
    if (size > SIZE_LIMIT || flags & MAP_HUGETLB || flags & MAP_32BIT)
        return -ENOMEM;
    if (!anonymous && offset + size < offset)
        return -EOVERFLOW;
    if (!anonymous && fd_is_hidden(call->compartment, call->args[4]))
        return -EBADF;
    call->args[2] = prot & PROT_KNOWN;
    size = PAGE_ALIGN_UP(size);
    if (type == MAP_PRIVATE || anonymous)
        return map_private(call, size);
    /* Host memory cannot be at an address in ELRANGE, and code in it would not be the enclave's. */
    if (fixed)
        return -ENOMEM;
    if (prot & PROT_EXEC)
        return -EPERM;
    return memory_map_shared(call->compartment, size, prot & PROT_KNOWN, flags, (int)call->args[4], offset);
}

long sys_munmap(struct syscall *call)
{
    uint64_t address = call->args[0], size = call->args[1];
    if (!size || !page_range(address, &size))
        return -EINVAL;
    return memory_unmap(call->compartment, address, size);
}

long sys_mprotect(struct syscall *call)
{
    uint64_t address = call->args[0], size = call->args[1];
    uint32_t prot = (uint32_t)call->args[2];
    if (prot & ~(PROT_KNOWN | PROT_GROWSDOWN | PROT_GROWSUP) || !page_range(address, &size))
        return -EINVAL;
    if ((prot & (PROT_GROWSDOWN | PROT_GROWSUP)) == (PROT_GROWSDOWN | PROT_GROWSUP))
        return -EINVAL;
    if (!size)
        return 0;
    if (prot & PROT_GROWSDOWN) { /* from the start of the mapping: dynamic linkers do so with the stack */
        struct vma vma;
        if (memory_find(call->compartment, address, &vma))
            return -ENOMEM;
        size += address - vma.start;
        address = vma.start;
    }
    return memory_protect(call->compartment, address, size, prot & PROT_KNOWN);
}

long sys_mremap(struct syscall *call)
{
    uint64_t address = call->args[0], old_size = call->args[1], new_size = call->args[2];
    uint64_t flags = call->args[3], new_address = call->args[4];
    if (flags & ~(uint64_t)(MREMAP_MAYMOVE | MREMAP_FIXED) || (flags & MREMAP_FIXED && !(flags & MREMAP_MAYMOVE)))
        return -EINVAL;
    if (!new_size || !old_size || !page_range(address, &old_size) || !page_range(0, &new_size))
        return -EINVAL;
    if (flags & MREMAP_FIXED && (new_address % PAGE_SIZE || new_address > SIZE_LIMIT ||
                                 (new_address < address + old_size && address < new_address + new_size)))
        return -EINVAL;
    return memory_remap(call->compartment, address, old_size, new_size, (uint32_t)flags, new_address);
}

long sys_brk(struct syscall *call)
{
    return (long)memory_brk(call->compartment, call->args[0]);
}

long sys_madvise(struct syscall *call)
{
    uint64_t address = call->args[0], size = call->args[1];
    if (!page_range(address, &size))
        return -EINVAL;
    switch ((int)call->args[2]) {
    case MADV_DONTNEED:
    case MADV_FREE:
        return size ? memory_discard(call->compartment, address, size) : 0;
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        memory_load(call->compartment, address, size);
        return !size || is_mapped(call->compartment, address, size) ? 0 : -ENOMEM;
    case MADV_REMOVE:
        return -EINVAL; /* of tmpfs files only, which are mapped on the host */
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
    case MADV_COLD:
    case MADV_PAGEOUT:
        return !size || is_mapped(call->compartment, address, size) ? 0 : -ENOMEM;
    default:
        return -EINVAL;
    }
}

/* Host mappings have something to write back. */
static long sync_shared(struct compartment *compartment, uint64_t address, uint64_t end, uint64_t flags)
{
    while (address < end) {
        struct vma vma;
        if (memory_find(compartment, address, &vma))
            return -ENOMEM;
        uint64_t stop = vma.end < end ? vma.end : end;
        if (vma.kind == VMA_SHARED) {
            long result = host_syscall(__NR_msync, address, stop - address, flags, 0, 0, 0);
            if (result < 0)
                return result;
        }
        address = stop;
    }
    return 0;
}

long sys_msync(struct syscall *call)
{
    uint64_t address = call->args[0], size = call->args[1], flags = call->args[2];
    if (!page_range(address, &size) || flags & ~(uint64_t)(MS_ASYNC | MS_SYNC | MS_INVALIDATE) ||
        (flags & MS_ASYNC && flags & MS_SYNC))
        return -EINVAL;
    return sync_shared(call->compartment, address, address + size, flags);
}

/* All pages are there: nothing of the enclave's is swapped that the program could find out about. */
long sys_mincore(struct syscall *call)
{
    uint64_t address = call->args[0], size = call->args[1];
    if (address % PAGE_SIZE)
        return -EINVAL;
    if (!page_range(address, &size) || (size && !is_mapped(call->compartment, address, size)))
        return -ENOMEM;
    char present[64];
    for (unsigned i = 0; i < sizeof present; i++)
        present[i] = 1;
    uint64_t count = size / PAGE_SIZE;
    for (uint64_t done = 0; done < count;) {
        uint64_t chunk = count - done < sizeof present ? count - done : sizeof present;
        if (copy_to_program((void *)(call->args[2] + done), present, chunk))
            return -EFAULT;
        done += chunk;
    }
    return 0;
}

/* EPC pages are the enclave's own, and secrets in them do not reach a swap device in the clear. */
static long lock_range(struct syscall *call)
{
    uint64_t address = PAGE_ALIGN_DOWN(call->args[0]), size = call->args[1] + (call->args[0] - address);
    if (size < call->args[1] || !page_range(address, &size))
        return -ENOMEM;
    return !size || is_mapped(call->compartment, address, size) ? 0 : -ENOMEM;
}

long sys_mlock(struct syscall *call)
{
    return lock_range(call);
}
long sys_munlock(struct syscall *call)
{
    return lock_range(call);
}
long sys_mlock2(struct syscall *call)
{
    return call->args[2] & ~(uint64_t)MLOCK_ONFAULT ? -EINVAL : lock_range(call);
}

long sys_mlockall(struct syscall *call)
{
    return !call->args[0] || call->args[0] & ~(uint64_t)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) ? -EINVAL : 0;
}

long sys_munlockall(struct syscall *call)
{
    (void)call;
    return 0;
}

/* The program's threads are the host process's threads, each on its own: the host's barrier is theirs. */
long sys_membarrier(struct syscall *call)
{
    return host_syscall(__NR_membarrier, call->args[0], call->args[1], call->args[2], 0, 0, 0);
}
