// The kernels compiled for avx512.
#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma"))), apply_to = function)
#define CMGLU_LANES 16
#define CMGLU_NAME avx512
#include "kernels.h"
#pragma clang attribute pop
#endif
