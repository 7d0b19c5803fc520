// SPDX-License-Identifier: MIT
// Included before every source file of libcuda_intercept.so. It is loaded into programs of other
// systems, so it must bind to symbols of old C libraries: of glibc 2.17 at most. Newer glibc gives
// these functions, which moved from libpthread and libdl into libc, a new version; the old one is
// still there and is the same function. Before glibc 2.34 they are found in libpthread.so.0 and
// libdl.so.2, which we therefore name as needed libraries.
#ifndef CCR_INTERCEPT_GLIBC_H
#define CCR_INTERCEPT_GLIBC_H

#if defined(__x86_64__)
#define CCR_GLIBC(symbol, version) __asm__(".symver " #symbol "," #symbol "@GLIBC_" version)
CCR_GLIBC(dladdr1, "2.3.3");
CCR_GLIBC(pthread_attr_setstacksize, "2.2.5");
CCR_GLIBC(pthread_condattr_setclock, "2.3.3");
CCR_GLIBC(pthread_create, "2.2.5");
CCR_GLIBC(pthread_mutex_trylock, "2.2.5");
CCR_GLIBC(pthread_once, "2.2.5");
CCR_GLIBC(pthread_setname_np, "2.12");
CCR_GLIBC(pthread_sigmask, "2.2.5");
#elif defined(__aarch64__)
// glibc 2.17 is the first one for this machine: every old symbol has this version.
#define CCR_GLIBC(symbol) __asm__(".symver " #symbol "," #symbol "@GLIBC_2.17")
CCR_GLIBC(dladdr1);
CCR_GLIBC(pthread_attr_setstacksize);
CCR_GLIBC(pthread_condattr_setclock);
CCR_GLIBC(pthread_create);
CCR_GLIBC(pthread_mutex_trylock);
CCR_GLIBC(pthread_once);
CCR_GLIBC(pthread_setname_np);
CCR_GLIBC(pthread_sigmask);
#endif

#endif
