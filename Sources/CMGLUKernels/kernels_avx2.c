// The kernels compiled for avx2.
#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define CMGLU_LANES 8
#define CMGLU_NAME avx2
#include "kernels.h"
#pragma clang attribute pop
#endif
