"""Dies on purpose. Built into the sanitize build only: a sanitizer that lets these live reports nothing about the engine."""

from libc.stdint cimport INT64_MAX, int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset


def overflow(int64_t number):
    """Return number + 1. Signed overflow at INT64_MAX: the undefined-behaviour sanitizer ends the process."""
    return number + 1


def heap(size_t size, size_t index):
    """Return byte `index` of `size` on the heap. Beyond them the address sanitizer ends the process."""
    cdef unsigned char* block = <unsigned char*>malloc(size)
    cdef int read
    if block == NULL:
        raise MemoryError(f"{size} bytes")
    memset(block, 7, size)
    read = block[index]
    free(block)
    return read


INT64_LAST = INT64_MAX
