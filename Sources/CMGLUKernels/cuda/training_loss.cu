// training_loss: cross-entropy and the gradient of the logits. A part of training.cu, which
// includes it and says what they compute.

namespace training {
constexpr int IN_FLIGHT = 4;
constexpr float LEAST = -3.402823466e38f;

// Eight logits, those beyond the vocabulary with no probability.
__device__ __forceinline__ void widen_logits(uint4 eight, int live, float (&x)[8]) {
  widen(eight, x);
  if (live < 8) {
#pragma unroll
    for (int k = 0; k < 8; k++)
      if (k >= live) x[k] = __uint_as_float(0xff800000u);
  }
}
}  // namespace training

// A block of 512 threads per row. With `is_staged`, dynamic shared memory of 16 ceil(width / 8)
// bytes keeps the row between its two passes; else it is read again. A thread meets only elements
// of its own, with a largest and a sum of its own, until the block puts them together.
extern "C" __global__ void __launch_bounds__(512, 2) cross_entropy(
    u16 *logits, const int *__restrict__ targets, float *__restrict__ losses, float scale,
    int vocabulary, int width, int is_staged) {
  using namespace training;
  extern __shared__ uint4 staged[];
  __shared__ float tops[16], sums[16];
  const i64 row = blockIdx.x;
  u16 *x = logits + row * width;
  const int target = targets[row], groups = (width + 7) / 8;
  if (target < 0) {
    if (threadIdx.x == 0) losses[row] = 0.f;
    if (scale != 0.f)
      for (int j = threadIdx.x; j < groups; j += blockDim.x)
        store(x + j * 8ll, make_uint4(0, 0, 0, 0), width - j * 8);
    return;
  }
  const float chosen = __uint_as_float((u32)x[target] << 16);
  const int live_groups = (vocabulary + 7) / 8;
  float top = LEAST, sum = 0.f;
  for (int j = threadIdx.x; j < live_groups; j += IN_FLIGHT * blockDim.x) {
    uint4 eight[IN_FLIGHT];
#pragma unroll
    for (int i = 0; i < IN_FLIGHT; i++) {
      const int at = j + i * blockDim.x;
      if (at < live_groups) eight[i] = load(x + at * 8ll, width - at * 8);
    }
#pragma unroll
    for (int i = 0; i < IN_FLIGHT; i++) {
      const int at = j + i * blockDim.x;
      if (at >= live_groups) break;
      if (is_staged) staged[at] = eight[i];
      float v[8];
      widen_logits(eight[i], vocabulary - at * 8, v);
      float most = v[0];
#pragma unroll
      for (int k = 1; k < 8; k++) most = fmaxf(most, v[k]);
      if (most > top) {
        sum *= __expf(top - most);
        top = most;
      }
#pragma unroll
      for (int k = 0; k < 8; k++) sum += __expf(v[k] - top);
    }
  }
  float most = top;
#pragma unroll
  for (int offset = 16; offset; offset >>= 1)
    most = fmaxf(most, __shfl_xor_sync(~0u, most, offset));
  if (threadIdx.x % 32 == 0) tops[threadIdx.x / 32] = most;
  __syncthreads();
  for (int warp = 0; warp < blockDim.x / 32; warp++) most = fmaxf(most, tops[warp]);
  const float total = block_sum(sum * __expf(top - most), sums);
  // The large numbers first: they cancel exactly.
  if (threadIdx.x == 0) losses[row] = logf(total) + (most - chosen);
  if (scale == 0.f) return;
  const float factor = scale / total;
  for (int j = threadIdx.x; j < groups; j += blockDim.x) {
    float v[8] = {};
    if (j < live_groups) {
      widen_logits(is_staged ? staged[j] : load(x + j * 8ll, width - j * 8), vocabulary - j * 8, v);
#pragma unroll
      for (int k = 0; k < 8; k++) {
        v[k] = __expf(v[k] - most) * factor;
        if (j * 8 + k == target) v[k] -= scale;
      }
    }
    store(x + j * 8ll, narrow(v), width - j * 8);
  }
}
