/* What a build is, and the switch of the planted bugs.

   setup.py passes in RISKBED_BUILD_MODE ("release", "checked", "sanitize") and, for checked and sanitize, RISKBED_CHECKED; it
   writes RISKBED_BUILD_DIGEST, over every source of the engine, into build/<mode>/digest.h, which only records.pyx reads.
   A release build holds no planted bug: PLANTED is the constant 0 there and the compiler drops the branch. */
#ifndef RISKBED_BUILD_H
#define RISKBED_BUILD_H

#ifndef RISKBED_BUILD_MODE
#error "the engine is built by setup.py, which names the mode"
#endif

#if !defined(__SIZEOF_INT128__)
#error "money needs a compiler with __int128: gcc or clang on a 64-bit machine"
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "records are little-endian on disk and are used in place: a little-endian machine is needed"
#endif

/* PLANTED(p, id) asks whether the bug `id` is switched on in `p`, the run's own number of its planted bug (0 = none). */
#ifdef RISKBED_CHECKED
#define PLANTED(p, id) ((p) == (id))
#define RISKBED_IS_CHECKED 1
#else
#define PLANTED(p, id) 0
#define RISKBED_IS_CHECKED 0
#endif

#endif
