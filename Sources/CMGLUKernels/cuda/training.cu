// training: what a decoder's training needs beside products, attention and units: embedding, norm,
// rotation, loss, and the optimiser.
//
// embed                x = rows of the table at `tokens`.
// embed_backward       dTable += the rows of dX, at their tokens.
// rms_norm             y = weight (.) x r, r = 1 / sqrt(mean(x^2) + epsilon), kept per row.
// rms_norm_backward    dX += r (weight (.) dY) - x r^3 mean(weight (.) dY (.) x), and per block of
//                      rows the sum of dY (.) x r, which add_columns adds to dWeight.
// rotate               (a, b) -> (a cos - b sin, b cos + a sin), halves of a head against each
//                      other, in place; with `direction` -1 back.
// cross_entropy        losses = log sum e^(x - max) + (max - x[target]); logits become
//                      (softmax - onehot) scale.
// adamw                m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
//                      w = (1 - rate decay) w - rate (m / c1) / (sqrt(v / c2) + epsilon), g = 0.
// sum_of_squares       in float64: per block, then add_sums over the blocks.
// convert              float32 -> BF16.
//
// Layout    Activations, their gradients and the table that is read are BF16 [rows][width]; weights
//           of norms, statistics, losses, gradients of parameters, masters and moments are float32.
//           Everything is computed in float32 and rounded once.
// Variants  WIDE 1 where every row begins at a multiple of 16 bytes, 0 for any other width.
// Launch    is said at each kernel. No sum depends on which block comes first: results are the same
//           bit for bit at every run, and no float is added atomically.
//
// Measured on an H100 (2026-11-25; 16384 tokens, h 768, 24 + 12 heads of 32, 4096 rows of 50304
// logits, 130 M parameters), microseconds and GB/s of the bytes that must move, of some 3000:
//     embed               17  2970       cross_entropy              308  2672
//     rms_norm            19  2611         row not kept             338  3657 (a part from L2)
//     rms_norm_backward   45  2260         loss only                147  2797
//     rotate              26  2927       sum_of_squares             172  3024
//     convert            257  3040       adamw                     1597  2768
//     embed_backward     128 (tokens as frequent as words: one of 16 is the same), 119 (even)
// embed_backward is bound by instructions and latency, not by bytes. With 8 rows on their way, of
// different tokens too, it took 171 and 65 us: rows of the most frequent token are added in turn.

#ifndef WIDE
#define WIDE 1
#endif

typedef unsigned int u32;
typedef unsigned short u16;
typedef long long i64;

namespace training {

#include "eight.cu"

// The sum of every thread's value, for all; `sums` has a place for each warp and is free again
// after the next barrier but one.
template <class T>
__device__ __forceinline__ T block_sum(T value, T *sums) {
#pragma unroll
  for (int offset = 16; offset; offset >>= 1) value += __shfl_xor_sync(~0u, value, offset);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = value;
  __syncthreads();
  T sum = 0;
  for (int warp = 0; warp < blockDim.x / 32; warp++) sum += sums[warp];
  return sum;
}

}  // namespace training

// Embedding ---------------------------------------------------------------------------------------

// A warp per row, 8 to a block.
extern "C" __global__ void __launch_bounds__(256) embed(
    const int *__restrict__ tokens, const u16 *__restrict__ table, u16 *__restrict__ x, i64 rows,
    int width) {
  using namespace training;
  const i64 row = blockIdx.x * 8ll + threadIdx.x / 32;
  if (row >= rows) return;
  const u16 *from = table + tokens[row] * (i64)width;
#pragma unroll 4
  for (int j = threadIdx.x % 32 * 8; j < width; j += 256)
    store(x + row * width + j, load(from + j, width - j), width - j);
}

// OWNERS blocks of 384 threads; tokens in the GPU's memory, for each block reads all of them.
//
// A block owns the tokens that leave its index modulo OWNERS. Of SEGMENT tokens at a time it
// collects its own, in any order, ranks them by token and then position, and walks them token by
// token with two columns to a thread: rows are added in their order, with AHEAD on their way.
namespace training {
constexpr int OWNERS = 1024;
constexpr int SEGMENT = 4096;
constexpr int AHEAD = 32;

__device__ __forceinline__ u32 load_pair(const u16 *from, bool both) {
#if WIDE
  return *(const u32 *)from;
#else
  return from[0] | (both ? (u32)from[1] << 16 : 0);
#endif
}
}  // namespace training

extern "C" __global__ void __launch_bounds__(384) embed_backward(
    const u16 *__restrict__ gradient, const int *__restrict__ tokens,
    float *__restrict__ table_gradient, i64 count, int width) {
  using namespace training;
  // What is found is a token's number among the block's, then the position in the segment.
  __shared__ u32 found[SEGMENT], ranked[SEGMENT];
  __shared__ u32 matches;
  for (i64 first = 0; first < count; first += SEGMENT) {
    if (threadIdx.x == 0) matches = 0;
    __syncthreads();
    const int length = min((i64)SEGMENT, count - first);
#pragma unroll 6
    for (int i = threadIdx.x; i < length; i += blockDim.x) {
      const u32 token = tokens[first + i];
      if (token % OWNERS == blockIdx.x)
        found[atomicAdd(&matches, 1)] = token / OWNERS * SEGMENT + i;
    }
    __syncthreads();
    const int n = matches;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      const u32 own = found[i];
      int rank = 0;
      for (int other = 0; other < n; other++) rank += found[other] < own;
      ranked[rank] = own;
    }
    __syncthreads();
    for (int j = threadIdx.x * 2; j < width; j += blockDim.x * 2) {
      const bool both = j + 1 < width;
      for (int k = 0; k < n;) {
        const u32 token = ranked[k] / SEGMENT;
        float *to = table_gradient + (token * (i64)OWNERS + blockIdx.x) * width + j;
        float low = to[0], high = both ? to[1] : 0.f;
        for (bool goes_on = true; goes_on;) {
          u32 pair[AHEAD];
          int rows = 0;  // of this token, of the next AHEAD
#pragma unroll
          for (int i = 0; i < AHEAD; i++) {
            pair[i] = 0;
            if (k + i >= n || ranked[k + i] / SEGMENT != token) continue;
            pair[i] = load_pair(gradient + (first + ranked[k + i] % SEGMENT) * width + j, both);
            rows = i + 1;
          }
#pragma unroll
          for (int i = 0; i < AHEAD; i++) {
            low += __uint_as_float(pair[i] << 16);
            high += __uint_as_float(pair[i] & 0xffff0000u);
          }
          k += rows;
          goes_on = rows == AHEAD && k < n && ranked[k] / SEGMENT == token;
        }
        to[0] = low;
        if (both) to[1] = high;
      }
    }
  }
}

// Norm --------------------------------------------------------------------------------------------

// A block per row. The first eight elements of a thread stay in registers: with 1024 threads all
// of a row of 8192. What is beyond is read again.
extern "C" __global__ void __launch_bounds__(1024) rms_norm(
    const u16 *__restrict__ x, const float *__restrict__ weight, float epsilon,
    u16 *__restrict__ y, float *__restrict__ inverse_rms, int width) {
  using namespace training;
  __shared__ float sums[32];
  const i64 row = blockIdx.x;
  const u16 *from = x + row * width;
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
    store(y + row * width + j, narrow(v), width - j);
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
    int width) {
  using namespace training;
  extern __shared__ float4 dweight[];
  __shared__ float sums[2][32];
  struct Part {
    uint4 up, x, dx;
  };
  const int first = threadIdx.x * 8, stride = blockDim.x * 8;
  auto fetch = [&](i64 row, int j) {
    if (row >= rows || j >= width) return Part{};
    const i64 at = row * width + j;
    return Part{
        load(upstream + at, width - j), load(x + at, width - j), load(x_gradient + at, width - j)};
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
      store(x_gradient + row * width + j, narrow(dx), width - j);
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

// Rotation ----------------------------------------------------------------------------------------

// Blocks of (parts of a row, rows): a part is up to eight elements of a head's lower half and their
// partners. Query and key heads lie at the start of a row of `width`. A row is WIDE where half a
// head is.
extern "C" __global__ void __launch_bounds__(1024) rotate(
    u16 *qkv, const int *__restrict__ positions, const float *__restrict__ cosine,
    const float *__restrict__ sine, float direction, i64 rows, int width, int heads, int half) {
  using namespace training;
  const i64 row = blockIdx.x * (i64)blockDim.y + threadIdx.y;
  if (row >= rows) return;
  const i64 angle = positions[row] * (i64)half;
  const int parts = (half + 7) / 8;
  for (int item = threadIdx.x; item < heads * parts; item += blockDim.x) {
    const int j = item % parts * 8, live = half - j;
    u16 *low = qkv + row * width + item / parts * 2 * half + j, *high = low + half;
    float a[8], b[8], c[8], s[8], x[8], y[8];
    widen(load(low, live), a), widen(load(high, live), b);
    load(cosine + angle + j, c, live), load(sine + angle + j, s, live);
#pragma unroll
    for (int k = 0; k < 8; k++) {
      s[k] *= direction;
      x[k] = a[k] * c[k] - b[k] * s[k];
      y[k] = b[k] * c[k] + a[k] * s[k];
    }
    store(low, narrow(x), live), store(high, narrow(y), live);
  }
}

// Loss --------------------------------------------------------------------------------------------

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

// Optimiser ---------------------------------------------------------------------------------------

// Any grid of blocks of 256 threads, four elements to a thread. `step` is rate / c1, `shrink` is
// 1 - rate decay, `unbias` 1 / c2. A squared norm that is not finite leaves everything as it is.
extern "C" __global__ void __launch_bounds__(256) adamw(
    float *__restrict__ weights, float *__restrict__ gradient, float *__restrict__ first_moment,
    float *__restrict__ second_moment, u16 *__restrict__ copy,
    const double *__restrict__ squared_norm, i64 count, float step, float shrink, float unbias,
    float beta1, float beta2, float epsilon, float clip_norm) {
  // One thread asks what may be the host's memory.
  __shared__ double norm_of_all;
  if (threadIdx.x == 0) norm_of_all = sqrt(*squared_norm);
  __syncthreads();
  const double norm = norm_of_all;
  if (!isfinite(norm)) return;
  const float scale = clip_norm > 0.f && norm > (double)clip_norm ? clip_norm / (float)norm : 1.f;
  auto update = [&](float &w, float &g, float &m, float &v) {
    g *= scale;
    m = beta1 * m + (1.f - beta1) * g;
    v = beta2 * v + (1.f - beta2) * g * g;
    w = w * shrink - step * m / (sqrtf(v * unbias) + epsilon);
  };
  const i64 stride = (i64)gridDim.x * blockDim.x;
  const i64 thread = blockIdx.x * (i64)blockDim.x + threadIdx.x;
  const i64 fours = WIDE ? count / 4 : 0;
  for (i64 i = thread; i < fours; i += stride) {
    float4 w = ((float4 *)weights)[i], g = ((float4 *)gradient)[i];
    float4 m = ((float4 *)first_moment)[i], v = ((float4 *)second_moment)[i];
    update(w.x, g.x, m.x, v.x), update(w.y, g.y, m.y, v.y);
    update(w.z, g.z, m.z, v.z), update(w.w, g.w, m.w, v.w);
    ((float4 *)weights)[i] = w;
    ((float4 *)first_moment)[i] = m;
    ((float4 *)second_moment)[i] = v;
    ((float4 *)gradient)[i] = make_float4(0.f, 0.f, 0.f, 0.f);
    if (copy)
      ((uint2 *)copy)[i] = make_uint2(training::narrow(w.x, w.y), training::narrow(w.z, w.w));
  }
  for (i64 i = fours * 4 + thread; i < count; i += stride) {
    update(weights[i], gradient[i], first_moment[i], second_moment[i]);
    gradient[i] = 0.f;
    if (copy) copy[i] = (u16)training::narrow(weights[i], 0.f);
  }
}

// Any grid of blocks of 256 threads: the result depends on it, so let it be the same everywhere.
extern "C" __global__ void __launch_bounds__(256)
sum_of_squares(const float *__restrict__ x, double *__restrict__ sums, i64 count) {
  __shared__ double warps[8];
  const i64 stride = (i64)gridDim.x * blockDim.x;
  const i64 thread = blockIdx.x * (i64)blockDim.x + threadIdx.x;
  const i64 fours = WIDE ? count / 4 : 0;
  double sum = 0;
  auto add = [&](float v) { sum += (double)v * v; };
#pragma unroll 4
  for (i64 i = thread; i < fours; i += stride) {
    const float4 v = ((const float4 *)x)[i];
    add(v.x), add(v.y), add(v.z), add(v.w);
  }
  for (i64 i = fours * 4 + thread; i < count; i += stride) add(x[i]);
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
