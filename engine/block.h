/* Blocks of memory: zeroed, aligned to a cache line, on large pages where they are worth it. And a hint to the cache. */
#ifndef RISKBED_BLOCK_H
#define RISKBED_BLOCK_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define BLOCK_LINE 64 /* bytes of a cache line: an Order is one */
#define BLOCK_LARGE ((size_t)2 << 20) /* bytes of a large page */
#define BLOCK_WORTH ((size_t)1 << 18) /* bytes of a block from which on it may have large pages */

/* Under the address sanitizer a block is what calloc gives: its red zones lie at the very ends. */
#if defined(__SANITIZE_ADDRESS__)
static inline void *block_take(size_t count, size_t size) { return calloc(count ? count : 1, size); }
static inline void block_free(void *block) { free(block); }
#else
/* calloc leaves untouched pages untouched, aligned_alloc and memset would not: so align by hand, and remember where it began.
   What may lie on large pages begins and ends with one, or its head and tail would not. */
static inline void *block_take(size_t count, size_t size) {
    size_t bytes, unit;
    char *memory, *block;
    if (__builtin_mul_overflow(count ? count : 1, size, &bytes) || bytes > SIZE_MAX / 2)
        return NULL;
    unit = bytes >= BLOCK_WORTH ? BLOCK_LARGE : BLOCK_LINE;
    bytes = (bytes + unit - 1) & ~(unit - 1);
    memory = (char *)calloc(1, bytes + unit + BLOCK_LINE);
    if (memory == NULL)
        return NULL;
    block = (char *)(((uintptr_t)memory + BLOCK_LINE + unit - 1) & ~(uintptr_t)(unit - 1));
    ((void **)block)[-1] = memory;
    return block;
}
static inline void block_free(void *block) {
    if (block != NULL)
        free(((void **)block)[-1]);
}
#endif

/* Ask for large pages under the whole large pages of any memory. A hint: where nobody hears it, nothing changes. */
static inline void memory_large(void *memory, size_t bytes) {
#if defined(MADV_HUGEPAGE)
    uintptr_t from = ((uintptr_t)memory + BLOCK_LARGE - 1) & ~(BLOCK_LARGE - 1);
    uintptr_t to = ((uintptr_t)memory + bytes) & ~(BLOCK_LARGE - 1);
    if (from < to)
        madvise((void *)from, to - from, MADV_HUGEPAGE);
#else
    (void)memory;
    (void)bytes;
#endif
}

/* The same for the whole of a block, if that is worth it. */
static inline void block_large(void *block, size_t bytes) {
    if (bytes >= BLOCK_WORTH)
        memory_large(block, (bytes + BLOCK_LARGE - 1) & ~(BLOCK_LARGE - 1));
}

/* The line at `p` is read and written soon. Without the empty asm gcc takes a function of prefetches for one without an effect,
   and drops its calls. */
static inline void block_expect(const void *p) {
    __builtin_prefetch(p, 1);
    __asm__ volatile("");
}

/* All ones where x is not 0. The empty asm keeps gcc from making a branch of the choice that follows. */
static inline size_t block_mask(int32_t x) {
    size_t mask = -(size_t)(x != 0);
    __asm__("" : "+r"(mask));
    return mask;
}

/* Copy whole 16-byte pieces, both ends aligned to 16, past the cache where the machine can: for what is written once and read
   much later. block_streamed() before another thread may read it. */
static inline void block_stream(void *to, const void *from, size_t bytes) {
#if defined(__SSE2__)
#pragma GCC unroll 5
    for (size_t at = 0; at < bytes; at += 16)
        _mm_stream_si128((__m128i *)((char *)to + at), _mm_load_si128((const __m128i *)((const char *)from + at)));
#else
    memcpy(to, from, bytes);
#endif
}
static inline void block_streamed(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

#define rarely(so) __builtin_expect(!!(so), 0)
#endif
