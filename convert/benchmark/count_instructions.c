/* A plugin for QEMU's user-mode emulation of AArch64: how many instructions run between two marks.

   A guest marks a place by asking for the highest priority of SCHED_BATCH: a system call without effect that nothing else makes.
   At each mark a line is written to the file of the argument "out": instructions executed so far, and how many of these were
   dot products of bytes (SDOT, UDOT, SUDOT, USDOT, SMMLA, UMMLA, USMMLA), which a Cortex-A72 has not.

   The declarations are the few of QEMU's plugin interface (docs/devel/tcg-plugins) that are used here, so that its header need
   not be installed. QEMU_API is 1 before QEMU 9.0, 2 for 9.0 and 3 from 9.1 on. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef QEMU_API
#define QEMU_API 1
#endif
#define EXPORTED __attribute__((visibility("default")))

enum { NO_REGISTERS = 0, SCHED_GET_PRIORITY_MAX = 125, SCHED_BATCH = 3 };

typedef uint64_t plugin_id;
struct qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*on_translation)(plugin_id, struct qemu_plugin_tb *);
typedef void (*on_execution)(unsigned int, void *);
typedef void (*on_syscall)(plugin_id, unsigned int, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                           uint64_t);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, on_translation);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, on_execution, int, void *);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, on_syscall);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
#if QEMU_API >= 3
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);
#else
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
#endif

EXPORTED int qemu_plugin_version = QEMU_API;

struct cost {
    uint64_t instructions, dot_products;
};

static struct cost executed;
static FILE *out;

static uint32_t word_of(const struct qemu_plugin_insn *instruction) {
    uint32_t word = 0;
#if QEMU_API >= 3
    qemu_plugin_insn_data(instruction, &word, sizeof word);
#else
    memcpy(&word, qemu_plugin_insn_data(instruction), sizeof word);
#endif
    return word;
}

/* Encodings: Arm Architecture Reference Manual, "Advanced SIMD three same (extra)" and "vector x indexed element". */
static int is_dot_product(uint32_t word) {
    return (word & 0x9FE0FC00) == 0x0E809400     /* SDOT, UDOT */
           || (word & 0x9FC0F400) == 0x0F80E000  /* the same by element */
           || (word & 0xBFE0FC00) == 0x0E809C00  /* USDOT */
           || (word & 0xBF40F400) == 0x0F00F000  /* SUDOT and USDOT by element */
           || (word & 0xDFE0FC00) == 0x4E80A400  /* SMMLA, UMMLA */
           || (word & 0xFFE0FC00) == 0x4E80AC00; /* USMMLA */
}

static void add(unsigned int cpu, void *data) {
    const struct cost *block = data;
    (void)cpu;
    __atomic_fetch_add(&executed.instructions, block->instructions, __ATOMIC_RELAXED);
    if (block->dot_products) __atomic_fetch_add(&executed.dot_products, block->dot_products, __ATOMIC_RELAXED);
}

/* A block's cost lives as long as the process: QEMU does not say when it forgets a block. */
static void translated(plugin_id id, struct qemu_plugin_tb *block) {
    struct cost *cost = calloc(1, sizeof *cost);
    (void)id;
    if (!cost) abort();
    cost->instructions = qemu_plugin_tb_n_insns(block);
    for (size_t i = 0; i < cost->instructions; i++)
        cost->dot_products += is_dot_product(word_of(qemu_plugin_tb_get_insn(block, i)));
    qemu_plugin_register_vcpu_tb_exec_cb(block, add, NO_REGISTERS, cost);
}

static void called(plugin_id id, unsigned int cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                   uint64_t a6, uint64_t a7, uint64_t a8) {
    (void)id, (void)cpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number != SCHED_GET_PRIORITY_MAX || a1 != SCHED_BATCH) return;
    fprintf(out, "%" PRIu64 " %" PRIu64 "\n", executed.instructions, executed.dot_products);
    fflush(out);
}

EXPORTED int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int count, char **arguments) {
    (void)info;
    if (count != 1 || strncmp(arguments[0], "out=", 4) != 0 || !(out = fopen(arguments[0] + 4, "w"))) return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
