// training_optimizer: AdamW, the norm of all gradients, and narrow copies. A part of training.cu,
// which includes it and says what they compute.

// Any grid of blocks of 256 threads, four elements to a thread. `step` is rate / c1, `shrink` is
// 1 - rate decay, `unbias` 1 / c2. A squared norm that is not finite leaves everything as it is.
extern "C" __global__ void __launch_bounds__(256) adamw(
    float *__restrict__ weights, const float *__restrict__ gradient,
    float *__restrict__ first_moment, float *__restrict__ second_moment, u16 *__restrict__ copy,
    const double *__restrict__ squared_norm, i64 count, float step, float shrink, float unbias,
    float beta1, float beta2, float epsilon, float clip_norm) {
  // One thread asks what may be the host's memory.
  __shared__ double norm_of_all;
  if (threadIdx.x == 0) norm_of_all = sqrt(*squared_norm);
  __syncthreads();
  const double norm = norm_of_all;
  if (!isfinite(norm)) return;
  const float scale = clip_norm > 0.f && norm > (double)clip_norm ? clip_norm / (float)norm : 1.f;
  auto update = [&](float &w, float g, float &m, float &v) {
    g *= scale;
    m = beta1 * m + (1.f - beta1) * g;
    v = beta2 * v + (1.f - beta2) * g * g;
    w = w * shrink - step * m / (sqrtf(v * unbias) + epsilon);
  };
  const i64 stride = (i64)gridDim.x * blockDim.x;
  const i64 thread = blockIdx.x * (i64)blockDim.x + threadIdx.x;
  const i64 fours = WIDE ? count / 4 : 0;
  for (i64 i = thread; i < fours; i += stride) {
    float4 w = ((float4 *)weights)[i], g = ((const float4 *)gradient)[i];
    float4 m = ((float4 *)first_moment)[i], v = ((float4 *)second_moment)[i];
    update(w.x, g.x, m.x, v.x), update(w.y, g.y, m.y, v.y);
    update(w.z, g.z, m.z, v.z), update(w.w, g.w, m.w, v.w);
    ((float4 *)weights)[i] = w;
    ((float4 *)first_moment)[i] = m;
    ((float4 *)second_moment)[i] = v;
    if (copy)
      ((uint2 *)copy)[i] = make_uint2(training::narrow(w.x, w.y), training::narrow(w.z, w.w));
  }
  for (i64 i = fours * 4 + thread; i < count; i += stride) {
    update(weights[i], gradient[i], first_moment[i], second_moment[i]);
    if (copy) copy[i] = (u16)training::narrow(weights[i], 0.f);
  }
}

// A block of 256 threads for each 16384 elements, whose sum no grid changes: parts of a whole that begin
// at such blocks have the same sums wherever they are computed.
extern "C" __global__ void __launch_bounds__(256)
sums_of_squares(const float *__restrict__ x, double *__restrict__ sums, i64 count) {
  __shared__ double warps[8];
  const i64 first = blockIdx.x * (i64)16384, live = min(count - first, (i64)16384);
  x += first;
  const int fours = WIDE ? (int)live / 4 : 0;
  double sum = 0;
  auto add = [&](float v) { sum += (double)v * v; };
#pragma unroll 8
  for (int i = threadIdx.x; i < fours; i += 256) {
    const float4 v = ((const float4 *)x)[i];
    add(v.x), add(v.y), add(v.z), add(v.w);
  }
  for (int i = fours * 4 + threadIdx.x; i < live; i += 256) add(x[i]);
  sum = training::block_sum(sum, warps);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// One block of 256 threads.
extern "C" __global__ void __launch_bounds__(256)
add_sums(const double *__restrict__ sums, double *__restrict__ total, int count) {
  __shared__ double warps[8];
  double sum = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) sum += sums[i];
  sum = training::block_sum(sum, warps);
  if (threadIdx.x == 0) *total = sum;
}

// Blocks of 256 threads, eight elements to a thread.
extern "C" __global__ void __launch_bounds__(256)
convert(const float *__restrict__ source, u16 *__restrict__ target, i64 count) {
  using namespace training;
  const i64 at = (blockIdx.x * (i64)blockDim.x + threadIdx.x) * 8, live = count - at;
  if (live <= 0) return;
  float x[8];
  load(source + at, x, live);
  store(target + at, narrow(x), live);
}

// Any grid of blocks of 256 threads, four elements to a thread: y = ((y + x[0]) + x[1]) + ..., or without
// y at first.
extern "C" __global__ void __launch_bounds__(256)
add_rows(const float *__restrict__ x, float *__restrict__ y, i64 count, int rows, int accumulates) {
  const i64 stride = (i64)gridDim.x * blockDim.x;
  const i64 thread = blockIdx.x * (i64)blockDim.x + threadIdx.x;
  const i64 fours = WIDE ? count / 4 : 0;
  for (i64 i = thread; i < fours; i += stride) {
    float4 sum = accumulates ? ((const float4 *)y)[i] : ((const float4 *)x)[i];
#pragma unroll 4
    for (int row = accumulates ? 0 : 1; row < rows; row++) {
      const float4 v = ((const float4 *)(x + row * count))[i];
      sum = make_float4(sum.x + v.x, sum.y + v.y, sum.z + v.z, sum.w + v.w);
    }
    ((float4 *)y)[i] = sum;
  }
  for (i64 i = fours * 4 + thread; i < count; i += stride) {
    float sum = accumulates ? y[i] : x[i];
    for (int row = accumulates ? 0 : 1; row < rows; row++) sum += x[row * count + i];
    y[i] = sum;
  }
}
