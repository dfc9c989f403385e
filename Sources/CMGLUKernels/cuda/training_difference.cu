// training_difference: e = s (x - y) by rows, as a conversion measures its errors. A part of
// training.cu, which includes it and says what it computes.

namespace training {

__device__ __forceinline__ void keep(u16 *to, const float (&x)[8], i64 live) {
  store(to, narrow(x), live);
}

__device__ __forceinline__ void keep(float *to, const float (&x)[8], i64 live) {
  const float low[4] = {x[0], x[1], x[2], x[3]}, high[4] = {x[4], x[5], x[6], x[7]};
  store(to, low, live), store(to + 4, high, live - 4);
}

// A warp per row.
template <class E>
__device__ __forceinline__ void difference(
    const u16 *x, const u16 *y, const float *scales, E *e, i64 rows, int width) {
  const i64 row = blockIdx.x * (i64)8 + threadIdx.x / 32;
  if (row >= rows) return;
  const float scale = scales ? scales[row] : 1.f;
  for (int j = threadIdx.x % 32 * 8; j < width; j += 256) {
    const i64 at = row * width + j, live = width - j;
    float a[8], b[8] = {};
    widen(load(x + at, live), a);
    if (y) widen(load(y + at, live), b);
#pragma unroll
    for (int k = 0; k < 8; k++) a[k] = scale * (a[k] - b[k]);
    keep(e + at, a, live);
  }
}

}  // namespace training

// Blocks of 256 threads, eight rows to a block; e may be x.
extern "C" __global__ void __launch_bounds__(256) scaled_difference(
    const u16 *x, const u16 *y, const float *scales, u16 *e, i64 rows, int width) {
  training::difference(x, y, scales, e, rows, width);
}

extern "C" __global__ void __launch_bounds__(256) scaled_difference_wide(
    const u16 *x, const u16 *y, const float *scales, float *e, i64 rows, int width) {
  training::difference(x, y, scales, e, rows, width);
}
