/* Blocks of memory: zeroed, aligned to a cache line, on large pages where they are worth it. And a hint to the cache. */
#ifndef RISKBED_BLOCK_H
#define RISKBED_BLOCK_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#define BLOCK_LINE 64 /* bytes of a cache line: an Order is one */
#define BLOCK_LARGE ((size_t)2 << 20) /* bytes of a large page */

/* Under the address sanitizer a block is what calloc gives: its red zones lie at the very ends. */
#if defined(__SANITIZE_ADDRESS__)
static inline void *block_take(size_t count, size_t size) { return calloc(count ? count : 1, size); }
static inline void block_free(void *block) { free(block); }
#else
/* calloc leaves untouched pages untouched, aligned_alloc and memset would not: so align by hand, and remember where it began. */
static inline void *block_take(size_t count, size_t size) {
    size_t bytes;
    char *memory, *block;
    if (__builtin_mul_overflow(count ? count : 1, size, &bytes) || bytes > SIZE_MAX - 2 * BLOCK_LINE)
        return NULL;
    memory = (char *)calloc(1, bytes + 2 * BLOCK_LINE);
    if (memory == NULL)
        return NULL;
    block = (char *)(((uintptr_t)memory + 2 * BLOCK_LINE - 1) & ~(uintptr_t)(BLOCK_LINE - 1));
    ((void **)block)[-1] = memory;
    return block;
}
static inline void block_free(void *block) {
    if (block != NULL)
        free(((void **)block)[-1]);
}
#endif

/* Ask for large pages under the whole large pages of a block. A hint: where nobody hears it, nothing changes. */
static inline void block_large(void *block, size_t bytes) {
#if defined(MADV_HUGEPAGE)
    uintptr_t from = ((uintptr_t)block + BLOCK_LARGE - 1) & ~(BLOCK_LARGE - 1);
    uintptr_t to = ((uintptr_t)block + bytes) & ~(BLOCK_LARGE - 1);
    if (from < to)
        madvise((void *)from, to - from, MADV_HUGEPAGE);
#else
    (void)block;
    (void)bytes;
#endif
}

/* The line at `p` is read and written soon. Without the empty asm gcc takes a function of prefetches for one without an effect,
   and drops its calls. */
static inline void block_expect(const void *p) {
    __builtin_prefetch(p, 1);
    __asm__ volatile("");
}
#endif
