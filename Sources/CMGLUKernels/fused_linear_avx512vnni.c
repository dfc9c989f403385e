// FlashMGLU compiled for AVX-512 with 8-bit dot products.
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,avx512vnni"))), \
    apply_to = function)
#define CMGLU_LANES 16
#define CMGLU_NAME avx512vnni
#define CMGLU_AVX512
#define CMGLU_VNNI
#include "fused_linear_only.h"
#pragma clang attribute pop
#endif
