// training_norm: RMSNorm of rows, its gradients, and the sum of what blocks found. A part of
// training.cu, which includes it and says what they compute.

// Where norm `index` lies: `parts` norms of `width` elements side by side in rows `stride` apart.
__device__ __forceinline__ i64 norm_offset(i64 index, int parts, i64 stride, int width) {
  return parts == 1 ? index * stride : index / parts * stride + index % parts * width;
}

// A block per norm. The first eight elements of a thread stay in registers: with 1024 threads all
// of a row of 8192. What is beyond is read again.
extern "C" __global__ void __launch_bounds__(1024) rms_norm(
    const u16 *__restrict__ x, const float *__restrict__ weight, float epsilon,
    u16 *__restrict__ y, float *__restrict__ inverse_rms, int width, int parts, i64 stride_of_rows) {
  using namespace training;
  __shared__ float sums[32];
  const i64 row = blockIdx.x, at = norm_offset(row, parts, stride_of_rows, width);
  const u16 *from = x + at;
  const int first = threadIdx.x * 8, stride = blockDim.x * 8;
  uint4 own = {};
  float squares = 0.f;
  auto add = [&](uint4 eight) {
    float v[8];
    widen(eight, v);
#pragma unroll
    for (int k = 0; k < 8; k++) squares += v[k] * v[k];
  };
  if (first < width) own = load(from + first, width - first);
  add(own);
  for (int j = first + stride; j < width; j += stride) add(load(from + j, width - j));
  const float r = 1.f / sqrtf(block_sum(squares, sums) / width + epsilon);
  if (threadIdx.x == 0) inverse_rms[row] = r;
  auto write = [&](uint4 eight, int j) {
    float v[8], w[8];
    widen(eight, v);
    load(weight + j, w, width - j);
#pragma unroll
    for (int k = 0; k < 8; k++) v[k] = w[k] * (v[k] * r);
    store(y + at + j, narrow(v), width - j);
  };
  if (first < width) write(own, first);
  for (int j = first + stride; j < width; j += stride) write(load(from + j, width - j), j);
}

// Any grid: a block takes rows blockIdx.x, + gridDim.x, ..., with the next one on its way, and
// leaves partial[blockIdx.x][width]. Dynamic shared memory: the sums so far, 32 ceil(width / 8)
// bytes.
extern "C" __global__ void __launch_bounds__(1024) rms_norm_backward(
    const u16 *__restrict__ upstream, const u16 *__restrict__ x, const float *__restrict__ weight,
    const float *__restrict__ inverse_rms, u16 *__restrict__ x_gradient, float *partial, i64 rows,
    int width, int parts, i64 stride_of_rows, int adds) {
  using namespace training;
  extern __shared__ float4 dweight[];
  __shared__ float sums[2][32];
  struct Part {
    uint4 up, x, dx;
  };
  const int first = threadIdx.x * 8, stride = blockDim.x * 8;
  auto fetch = [&](i64 row, int j) {
    if (row >= rows || j >= width) return Part{};
    const i64 at = norm_offset(row, parts, stride_of_rows, width) + j;
    return Part{
        load(upstream + at, width - j), load(x + at, width - j),
        adds ? load(x_gradient + at, width - j) : uint4{}};
  };
  // Only the thread that owns a column touches its sum.
  for (int j = first; j < width; j += stride)
    dweight[j / 4] = dweight[j / 4 + 1] = make_float4(0.f, 0.f, 0.f, 0.f);
  Part next = fetch(blockIdx.x, first);
  int parity = 0;
  for (i64 row = blockIdx.x; row < rows; row += gridDim.x, parity ^= 1) {
    const Part own = next;
    next = fetch(row + gridDim.x, first);
    const float r = inverse_rms[row];
    float inner = 0.f;
    auto add = [&](const Part &part, int j) {
      float g[8], v[8], w[8];
      widen(part.up, g), widen(part.x, v), load(weight + j, w, width - j);
#pragma unroll
      for (int k = 0; k < 8; k++) inner += g[k] * w[k] * v[k];
    };
    if (first < width) add(own, first);
    for (int j = first + stride; j < width; j += stride) add(fetch(row, j), j);
    const float along = block_sum(inner, sums[parity]) * r * r * r / width;
    auto write = [&](const Part &part, int j) {
      float g[8], v[8], dx[8], w[8];
      widen(part.up, g), widen(part.x, v), widen(part.dx, dx), load(weight + j, w, width - j);
#pragma unroll
      for (int k = 0; k < 8; k++) dx[k] += g[k] * w[k] * r - v[k] * along;
#pragma unroll
      for (int k = 0; k < 8; k += 4) {
        float4 &sum = dweight[(j + k) / 4];
        const float4 old = sum;
        sum = make_float4(
            old.x + g[k] * v[k] * r, old.y + g[k + 1] * v[k + 1] * r,
            old.z + g[k + 2] * v[k + 2] * r, old.w + g[k + 3] * v[k + 3] * r);
      }
      store(
          x_gradient + norm_offset(row, parts, stride_of_rows, width) + j, narrow(dx), width - j);
    };
    if (first < width) write(own, first);
    for (int j = first + stride; j < width; j += stride) write(fetch(row, j), j);
  }
  for (int j = first; j < width; j += stride)
    for (int k = 0; k < 8 && j + k < width; k++)
      partial[blockIdx.x * (i64)width + j + k] = ((const float *)dweight)[j + k];
}

// target[width] += the sums of the columns of partial[count][width]; ceil(width / 8) blocks of 1024
// threads: eight columns, which are a sector of 32 bytes, and 128 slices of the rows.
extern "C" __global__ void __launch_bounds__(1024)
add_columns(const float *__restrict__ partial, float *__restrict__ target, int count, int width) {
  __shared__ float sums[32][8];
  const int j = threadIdx.x % 8, column = blockIdx.x * 8 + j;
  float sum = 0.f;
  if (column < width) {
#pragma unroll 8
    for (int i = threadIdx.x / 8; i < count; i += 128) sum += partial[i * (i64)width + column];
  }
  sum += __shfl_xor_sync(~0u, sum, 8);
  sum += __shfl_xor_sync(~0u, sum, 16);
  if (threadIdx.x % 32 < 8) sums[threadIdx.x / 32][j] = sum;
  __syncthreads();
  if (threadIdx.x >= 8 || column >= width) return;
  float total = 0.f;
  for (int warp = 0; warp < 32; warp++) total += sums[warp][j];
  target[column] += total;
}
