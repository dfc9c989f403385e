// FlashMGLU compiled for AVX-512 with 8-bit and BF16 dot products, and for tiles of BF16.
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,avx512vnni,avx512bf16," \
                          "amx-tile,amx-bf16"))), \
    apply_to = function)
#define CMGLU_LANES 16
#define CMGLU_NAME amx
#define CMGLU_AVX512
#define CMGLU_VNNI
#define CMGLU_BF16_DOT
#define CMGLU_AMX
#include "fused_linear_only.h"
#pragma clang attribute pop
#endif
