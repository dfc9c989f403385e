// attention_softmax: the online softmax of rows of prompts over 64 keys at a time. A part of
// attention_prompt.cu and attention_prompt_hopper.cu, which include it: it takes their Attention and BLOCK.
//
// Rows lie as in a product of mma.sync or wgmma: of each group of 16 this lane has rows lane / 4 and
// + 8, and of every eight keys 2 (lane % 4) and the next. Keys that a row does not see change nothing
// of it, to the bit: its weights are 0 and its factors 1.

constexpr int KEYS = BLOCK / 8;  // groups of eight

template <int GROUPS> struct Softmax {
  float sum[GROUPS][2], largest[GROUPS][2];  // of scores

  __device__ __forceinline__ Softmax() {
#pragma unroll
    for (int m = 0; m < GROUPS; m++)
#pragma unroll
      for (int half = 0; half < 2; half++) sum[m][half] = 0.f, largest[m][half] = -3.0e38f;
  }

  // Keys from `key` on that the rows from `position` on, this lane's first, do not see.
  __device__ __forceinline__ void mask(
      const Attention &a, float (&score)[GROUPS][KEYS][4], int position, int key, int lane) const {
#pragma unroll
    for (int m = 0; m < GROUPS; m++)
#pragma unroll
      for (int n = 0; n < KEYS; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int row = position + m * 16 + i / 2 * 8, at = key + n * 8 + lane % 4 * 2 + i % 2;
          if (at > row || at < a.lowest(row)) score[m][n][i] = -__int_as_float(0x7f800000);
        }
  }

  // Raises the largest scores and turns scores into weights, in place. Returns whether sums of a row of
  // the warp must be multiplied by their factors first.
  __device__ __forceinline__ bool weigh(
      float (&score)[GROUPS][KEYS][4], float factor, float (&factors)[GROUPS][2]) {
    bool grows = false;
#pragma unroll
    for (int m = 0; m < GROUPS; m++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float most = fmaxf(score[m][0][2 * half], score[m][0][2 * half + 1]);
#pragma unroll
        for (int n = 1; n < KEYS; n++)
          most = fmaxf(most, fmaxf(score[m][n][2 * half], score[m][n][2 * half + 1]));
        most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
        most = fmaxf(most, __shfl_xor_sync(~0u, most, 2));
        most = fmaxf(most, largest[m][half]);
        grows = grows || most > largest[m][half];
        factors[m][half] = power_of_two((largest[m][half] - most) * factor);
        largest[m][half] = most;
        sum[m][half] = __fmul_rn(sum[m][half], factors[m][half]);
        const float offset = -__fmul_rn(most, factor);
#pragma unroll
        for (int n = 0; n < KEYS; n++) {
          const float left = power_of_two(fmaf(score[m][n][2 * half], factor, offset));
          const float right = power_of_two(fmaf(score[m][n][2 * half + 1], factor, offset));
          sum[m][half] = __fadd_rn(sum[m][half], __fadd_rn(left, right));
          score[m][n][2 * half] = left, score[m][n][2 * half + 1] = right;
        }
      }
    return __any_sync(~0u, grows);
  }

  // 1 / the sum of a row's weights.
  __device__ __forceinline__ float inverse(int m, int half) const {
    float total = sum[m][half];
    total = __fadd_rn(total, __shfl_xor_sync(~0u, total, 1));
    return __frcp_rn(__fadd_rn(total, __shfl_xor_sync(~0u, total, 2)));
  }
};

// Sums of values, multiplied by their rows' factors.
template <int GROUPS, int COUNT>
__device__ __forceinline__ void rescale(
    float (&value)[GROUPS][COUNT][4], const float (&factors)[GROUPS][2]) {
#pragma unroll
  for (int m = 0; m < GROUPS; m++)
#pragma unroll
    for (int n = 0; n < COUNT; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) value[m][n][i] = __fmul_rn(value[m][n][i], factors[m][i / 2]);
}
