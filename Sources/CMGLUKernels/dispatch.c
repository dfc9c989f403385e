// Choice of the kernel tables at run time.
#if defined(__linux__)
#define _GNU_SOURCE
#include <sched.h>
#include <sys/syscall.h>
#endif
#include "CMGLUKernels.h"

#include <string.h>
#include <unistd.h>

const char *cmglu_instruction_set(int index) {
  static const char *const names[] = {"amx",    "avx512bf16", "avx512vnni",
                                      "avx512", "avx2",       "baseline"};
  const int count = sizeof names / sizeof *names;
  return index >= 0 && index < count ? names[index] : 0;
}

extern const cmglu_kernels cmglu_kernels_baseline;
extern const cmglu_fused_linear cmglu_fused_linear_baseline;

#if defined(__x86_64__)
extern const cmglu_kernels cmglu_kernels_avx2, cmglu_kernels_avx512;
extern const cmglu_fused_linear cmglu_fused_linear_avx2, cmglu_fused_linear_avx512, cmglu_fused_linear_avx512vnni,
    cmglu_fused_linear_avx512bf16, cmglu_fused_linear_amx;

// Linux lets a process use tiles that asks for them: they make its threads' state larger by 8 KiB.
static bool may_use_tiles(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
  return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
  return false;
#endif
}

static bool supports(const char *name) {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  if (strcmp(name, "avx2") == 0) return avx2;
  if (strcmp(name, "avx512") == 0) return avx512;
  if (strcmp(name, "avx512vnni") == 0) return vnni;
  const bool bf16 = vnni && __builtin_cpu_supports("avx512bf16");
  if (strcmp(name, "avx512bf16") == 0) return bf16;
  return strcmp(name, "amx") == 0 && bf16 && __builtin_cpu_supports("amx-tile") &&
         __builtin_cpu_supports("amx-bf16") && may_use_tiles();
}
#endif

const cmglu_kernels *cmglu_kernels_named(const char *name) {
#if defined(__x86_64__)
  if (supports(name)) return name[3] == '2' ? &cmglu_kernels_avx2 : &cmglu_kernels_avx512;
#endif
  return strcmp(name, "baseline") == 0 ? &cmglu_kernels_baseline : 0;
}

const cmglu_fused_linear *cmglu_fused_linear_named(const char *name) {
#if defined(__x86_64__)
  const cmglu_fused_linear *tables[] = {
      &cmglu_fused_linear_amx, &cmglu_fused_linear_avx512bf16, &cmglu_fused_linear_avx512vnni,
      &cmglu_fused_linear_avx512, &cmglu_fused_linear_avx2};
  for (int i = 0; i < 5; i++)
    if (strcmp(name, tables[i]->name) == 0) return supports(name) ? tables[i] : 0;
#endif
  return strcmp(name, "baseline") == 0 ? &cmglu_fused_linear_baseline : 0;
}

int cmglu_processor_count(void) {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? (int)count : 1;
}
