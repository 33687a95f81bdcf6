/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the ENCLU instructions of the enclave's image end up: each was replaced by a call of MODEL_ENCLU_GATE
 * (docs/architecture.md). EAX = leaf.
 *
 * The call pushed its return address: for EEXIT onto the host's stack, where the target takes its place.
 *
 * EEXIT:  RBX = target. RCX = AEP afterwards, as the SDM says; no other register changes.
 * EACCEPT, EMODPE: succeed (RAX = 0, ZF = 0); the model's pages have no EPCM to check.
 * EREPORT, EGETKEY and unknown leaves: #GP. Reports and keys are not modelled here.
 */
#include "../../enclave/include/layout.h"
#include "../../enclave/include/sgx_arch.h"
#include "model.h"

    .section .enclu_gate, "ax", @progbits
.Lstart:
    cmp $ENCLU_EEXIT, %eax
    jne .Lother
    rdgsbase %rcx
    mov TCS_STATE + THREAD_TCS - THREAD_TCB(%rcx), %rcx /* the busy word is the cpu that runs the TCS */
    wrgsbase %rcx
    mov %gs:CPU_HOST_FSBASE, %rcx
    wrfsbase %rcx
    movb $OUTSIDE_ENCLAVE, %gs:CPU_SELECTOR
    mov %gs:CPU_TCS, %rcx
    movq $0, TCS_STATE(%rcx)
    mov %gs:CPU_AEP, %rcx
    /* a return, so that the processor's prediction of the enclave's own returns stays in step */
    mov %rbx, (%rsp)
    ret
.Lexit_end:
.Lother:
    cmp $ENCLU_EACCEPT, %eax
    je .Lno_op
    cmp $ENCLU_EMODPE, %eax
    je .Lno_op
.Lgeneral_protection:
    hlt
.Lno_op:
    xor %eax, %eax
.Lno_op_done:
    test %rsp, %rsp
    ret
.Lend:

    .section .data.rel.ro, "aw", @progbits
    .globl model_gate_labels
    .balign 8
model_gate_labels: /* struct gate_labels */
    .quad .Lstart, .Lexit_end, .Lno_op, .Lno_op_done, .Lgeneral_protection, .Lend

    .section .note.GNU-stack, "", @progbits
