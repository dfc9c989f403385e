// The kernels for any processor: 128-bit vectors, which are SSE2 on x86-64 and NEON on AArch64.
#define CMGLU_LANES 4
#define CMGLU_NAME baseline
#include "kernels.h"
