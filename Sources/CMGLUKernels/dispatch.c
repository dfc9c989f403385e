// Choice of the kernel table at run time.
#if defined(__linux__)
#define _GNU_SOURCE
#include <sched.h>
#endif
#include "CMGLUKernels.h"

#include <string.h>
#include <unistd.h>

extern const cmglu_kernels cmglu_kernels_baseline;
#if defined(__x86_64__)
extern const cmglu_kernels cmglu_kernels_avx2;
extern const cmglu_kernels cmglu_kernels_avx512;
#endif

const cmglu_kernels *cmglu_kernels_named(const char *name) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (strcmp(name, "avx512") == 0) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")
               ? &cmglu_kernels_avx512
               : 0;
  }
  if (strcmp(name, "avx2") == 0) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &cmglu_kernels_avx2
                                                                         : 0;
  }
#endif
  return strcmp(name, "baseline") == 0 ? &cmglu_kernels_baseline : 0;
}

const cmglu_kernels *cmglu_kernels_best(void) {
  const char *names[] = {"avx512", "avx2", "baseline"};
  for (int i = 0; i < 3; i++) {
    const cmglu_kernels *found = cmglu_kernels_named(names[i]);
    if (found) return found;
  }
  return &cmglu_kernels_baseline;
}

int cmglu_processor_count(void) {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? (int)count : 1;
}
