// training_bias: biases of projections, and the sums of rows that are their gradients. A part of
// training.cu, which includes it and says what they compute.

// Blocks of (parts of a row, rows): a part is up to eight elements.
extern "C" __global__ void __launch_bounds__(1024) add_bias(
    u16 *x, const float *__restrict__ bias, i64 rows, int width) {
  using namespace training;
  const i64 row = blockIdx.x * (i64)blockDim.y + threadIdx.y;
  if (row >= rows) return;
  for (int j = threadIdx.x * 8; j < width; j += blockDim.x * 8) {
    float v[8], b[8];
    widen(load(x + row * width + j, width - j), v), load(bias + j, b, width - j);
#pragma unroll
    for (int k = 0; k < 8; k++) v[k] += b[k];
    store(x + row * width + j, narrow(v), width - j);
  }
}

// Any grid: a block adds up rows blockIdx.x, + gridDim.x, ..., and leaves partial[blockIdx.x][width].
extern "C" __global__ void __launch_bounds__(1024) sum_rows(
    const u16 *__restrict__ x, float *__restrict__ partial, i64 rows, int width) {
  using namespace training;
  for (int j = threadIdx.x * 8; j < width; j += blockDim.x * 8) {
    float sum[8] = {};
#pragma unroll 2
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
      float v[8];
      widen(load(x + row * width + j, width - j), v);
#pragma unroll
      for (int k = 0; k < 8; k++) sum[k] += v[k];
    }
#pragma unroll
    for (int k = 0; k < 8; k++)
      if (j + k < width) partial[blockIdx.x * (i64)width + j + k] = sum[k];
  }
}
