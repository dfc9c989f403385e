// The kernels compiled for AVX-512.
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), \
    apply_to = function)
#define CMGLU_LANES 16
#define CMGLU_NAME avx512
#define CMGLU_AVX512
#include "kernels.h"
#pragma clang attribute pop
#endif
