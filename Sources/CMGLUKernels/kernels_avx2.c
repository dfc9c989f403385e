// The kernels compiled for AVX2.
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define CMGLU_LANES 8
#define CMGLU_NAME avx2
#define CMGLU_AVX2
#include "kernels.h"
#pragma clang attribute pop
#endif
