// training_loss: cross-entropy, distillation, and the gradient of the logits. A part of training.cu, which
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

// A block of 512 threads per row, which reads both rows twice, the second time from L2.
extern "C" __global__ void __launch_bounds__(512, 2) distill(
    u16 *logits, const u16 *__restrict__ teacher, const int *__restrict__ targets,
    float *__restrict__ losses, float scale, float share, float temperature, int vocabulary,
    int width, int teacher_width) {
  using namespace training;
  __shared__ float tops[2][16], sums[4][16];
  const i64 row = blockIdx.x;
  u16 *x = logits + row * width;
  const u16 *y = teacher + row * teacher_width;
  const int target = targets[row], groups = (width + 7) / 8;
  if (target < 0) {
    if (threadIdx.x == 0) losses[row] = 0.f;
    for (int j = threadIdx.x; j < groups; j += blockDim.x)
      store(x + j * 8ll, make_uint4(0, 0, 0, 0), width - j * 8);
    return;
  }
  const float chosen = __uint_as_float((u32)x[target] << 16), inverse = 1.f / temperature;
  const int live_groups = (vocabulary + 7) / 8;
  auto read = [&](int j, float (&a)[8], float (&b)[8]) {
    widen_logits(load(x + j * 8ll, width - j * 8), vocabulary - j * 8, a);
    widen_logits(load(y + j * 8ll, teacher_width - j * 8), vocabulary - j * 8, b);
  };
  float top = LEAST, teacher_top = LEAST;
  for (int j = threadIdx.x; j < live_groups; j += blockDim.x) {
    float a[8], b[8];
    read(j, a, b);
#pragma unroll
    for (int k = 0; k < 8; k++) top = fmaxf(top, a[k]), teacher_top = fmaxf(teacher_top, b[k]);
  }
#pragma unroll
  for (int offset = 16; offset; offset >>= 1) {
    top = fmaxf(top, __shfl_xor_sync(~0u, top, offset));
    teacher_top = fmaxf(teacher_top, __shfl_xor_sync(~0u, teacher_top, offset));
  }
  if (threadIdx.x % 32 == 0)
    tops[0][threadIdx.x / 32] = top, tops[1][threadIdx.x / 32] = teacher_top;
  __syncthreads();
  for (int warp = 0; warp < blockDim.x / 32; warp++)
    top = fmaxf(top, tops[0][warp]), teacher_top = fmaxf(teacher_top, tops[1][warp]);
  // sum q (log q - log p), of which the logarithms of the totals come out.
  float sum = 0.f, p_sum = 0.f, q_sum = 0.f, divergence = 0.f;
  for (int j = threadIdx.x; j < live_groups; j += blockDim.x) {
    float a[8], b[8];
    read(j, a, b);
#pragma unroll
    for (int k = 0; k < 8; k++) {
      if (j * 8 + k >= vocabulary) break;
      const float u = a[k] - top, v = b[k] - teacher_top, q = __expf(v * inverse);
      sum += __expf(u), p_sum += __expf(u * inverse), q_sum += q, divergence += q * (v - u);
    }
  }
  const float total = block_sum(sum, sums[0]), p_total = block_sum(p_sum, sums[1]);
  const float q_total = block_sum(q_sum, sums[2]);
  const float kl = block_sum(divergence, sums[3]) * inverse / q_total + logf(p_total / q_total);
  if (threadIdx.x == 0)
    losses[row] = (1.f - share) * (logf(total) + (top - chosen))
                  + share * temperature * temperature * kl;
  // Rounded, so that a probability of one leaves nothing of it.
  const float hard = __fmul_rn(scale, 1.f - share), soft = scale * share * temperature;
  for (int j = threadIdx.x; j < groups; j += blockDim.x) {
    float a[8] = {}, b[8];
    if (j < live_groups) {
      read(j, a, b);
#pragma unroll
      for (int k = 0; k < 8; k++) {
        const float u = a[k] - top, v = b[k] - teacher_top;
        a[k] = __expf(u) * (hard / total)
               + soft * (__expf(u * inverse) / p_total - __expf(v * inverse) / q_total);
        if (j * 8 + k == target) a[k] -= hard;
      }
    }
    store(x + j * 8ll, narrow(a), width - j * 8);
  }
}
