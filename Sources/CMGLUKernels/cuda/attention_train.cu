// attention_train: causal grouped-query attention over sequences of equal length, for training: the
// forward pass, and the gradients of queries, keys and values.
//
//     S = Q K^T / sqrt(HEAD), masked above the diagonal    P = exp(S - logSumExp)    O = P V
//     dV = P^T dO    dP = dO V^T    dS = P (dP - delta), delta = sum dO O
//     dQ = dS K / sqrt(HEAD)    dK = dS^T Q / sqrt(HEAD)
//
// Layout    qkv and its gradient [sequences length][(heads + 2 kvHeads) HEAD], queries first, then
//           keys, then values, rotated; output and upstream [sequences length][heads HEAD]; all
//           BF16 and 16-byte aligned. logSumExp [sequences][heads][length], float32, natural.
// Variants  HEAD, the elements of a head, even, at most 128; GROUP = heads / kvHeads, the query heads
//           of a key-value head.
// Launch    128 threads, blocks (kvHeads, sequences, z), dynamic shared memory of 4 TILE STRIDE bytes
//           (attention_train_keys: and 2 SCRATCH_BYTES), with STRIDE = 2 HEAD rounded up to 32, + 16:
//               attention_train_forward  z = ceil(length GROUP / (64 MT)), MT = 2 up to HEAD 64, else 1
//               attention_train_queries  z = the same
//               attention_train_keys     z = ceil(length / (64 KEYS_MT)), KEYS_MT = 2 up to HEAD 48, else 1
//           The gradient of keys and values reads what attention_train_queries left in `scratch`,
//           ceil(length GROUP / 64) SCRATCH_BYTES for each sequence and key-value head.
//
// Rows. The query heads of a key-value head are stacked: row r is position r / GROUP of head r % GROUP.
// A tile of keys serves them all, and a block's rows span few positions, so little lies above
// the diagonal. A warp has 16 MT rows (or keys) whose fragments stay in registers; tiles of the other
// side pass through two stages of shared memory, 64 rows each. Heavy blocks start first.
//
// Exponents. Scores are exponentiated against a maximum that may be old: 2^(s - m) is exact enough
// as long as it is finite, because BF16 has the exponents of float32. Only if a sum grows past
// LIMIT are the scores of a step computed again, and the maximum raised: always at the first
// keys, rarely after. So a score costs a multiply-add, an exponential, an addition and half a
// conversion, and no comparison.
//
// Gradients. No sum crosses blocks: one kernel owns queries, the other keys with all heads of
// their group. Both compute S and dP (seven products instead of five), but every result is the same
// bit for bit each time. -delta is what the products of dP start from.
//
// Measured on an H100 (2026-11-25, Benchmarks/cuda/attention_train.cu --time, 16 sequences of 1024,
// 24 heads, 6 key-value heads, HEAD 32), microseconds a layer: forward 107, queries 137, keys 191.
// 32 heads, 8 key-value heads, HEAD 64: forward 271, queries 363, keys 517; an earlier source had keys
// at 449 with KEYS_MT 2 and KEYS_BLOCKS 2, which spills.

#ifndef HEAD
#define HEAD 64
#endif
#ifndef GROUP
#define GROUP 1
#endif

typedef unsigned int u32;
typedef unsigned short u16;

constexpr int PADDED = (HEAD + 15) / 16 * 16;
constexpr int STEPS = PADDED / 16;        // of a product over the elements of a head
constexpr int STRIDE = PADDED * 2 + 16;   // bytes: an odd number of 16, so ldmatrix has no conflicts
constexpr int THREADS = 128, TILE = 64;
constexpr int TILE_BYTES = TILE * STRIDE;
// Of 64 rows: -delta of each two rows twice (as an accumulator wants them), then -logSumExp log2 e.
constexpr int SCRATCH_BYTES = 64 * 8 + 64 * 4;
constexpr float LIMIT = 1099511627776.f;  // 2^40
constexpr float LOG2E = 1.44269504f, MASKED = -3e38f;

#ifndef MT
#define MT (PADDED <= 64 ? 2 : 1)  // groups of 16 rows of a warp
#endif
#ifndef KEYS_MT
#define KEYS_MT (PADDED <= 48 ? 2 : 1)  // of 16 keys
#endif
#ifndef CHUNK
#define CHUNK 16  // keys of a step of the forward pass
#endif
// Whether scores are computed a step ahead of the exponentials.
#ifndef QUERIES_AHEAD
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 900
#define QUERIES_AHEAD (PADDED <= 32 || PADDED == 64)
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 1200
#define QUERIES_AHEAD (PADDED <= 32)
#else
#define QUERIES_AHEAD 0  // would spill
#endif
#endif
#ifndef KEYS_AHEAD
#define KEYS_AHEAD (PADDED <= 32)
#endif
// Blocks that a multiprocessor shall hold.
#ifndef FORWARD_BLOCKS
#define FORWARD_BLOCKS (PADDED <= 32 ? 4 : 2)
#endif
#ifndef QUERIES_BLOCKS
#define QUERIES_BLOCKS (PADDED <= 32 ? 3 : 2)
#endif
#ifndef KEYS_BLOCKS
#define KEYS_BLOCKS (PADDED == 64 ? 3 : 2)
#endif

struct AttentionTrain {
  const u16 *qkv;
  u16 *output;          // written by the forward pass, read by the backward
  float *logSumExp;     // the same
  const u16 *upstream;  // of the backward pass
  u16 *gradient;
  unsigned char *scratch;
  int length, kvHeads;
  float scale;  // 1 / sqrt(HEAD)
};

// Instructions -----------------------------------------------------------------------------------

__device__ __forceinline__ u32 narrow(float low, float high) {
  u32 pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

__device__ __forceinline__ float power_of_two(float x) {
  float value;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(value) : "f"(x));
  return value;
}

__device__ __forceinline__ void multiply(
    float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, const float (&c)[4]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(c[0]), "f"(c[1]), "f"(c[2]),
        "f"(c[3]));
}

__device__ __forceinline__ void load_matrices(u32 (&b)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
               : "r"(address) : "memory");
}

__device__ __forceinline__ void load_transposed(u32 (&b)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
               : "r"(address) : "memory");
}

template <int BYTES> __device__ __forceinline__ void copy(u32 to, const void *from, bool valid) {
  if constexpr (BYTES == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(BYTES),
                 "r"(valid ? BYTES : 0) : "memory");
}

__device__ __forceinline__ void copies_done() {
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncthreads();
}

// Tiles ------------------------------------------------------------------------------------------

// Rows first... of a matrix to shared memory, zeros after `limit` and in columns after HEAD. With G > 1
// each token has G rows that follow one another.
template <int G>
__device__ __forceinline__ void copy_tile(
    u32 to, const u16 *matrix, long long stride, int first, int limit) {
  constexpr int BYTES = HEAD % 8 == 0 ? 16 : HEAD % 4 == 0 ? 8 : 4, PIECES = PADDED * 2 / BYTES;
#pragma unroll
  for (int i = 0; i < TILE * PIECES / THREADS; i++) {
    const int piece = i * THREADS + threadIdx.x, r = piece / PIECES, column = piece % PIECES * (BYTES / 2);
    const int row = first + r;
    const bool valid = row < limit && (PADDED == HEAD || column < HEAD);
    const u16 *from = valid ? matrix + row / G * stride + row % G * HEAD + column : matrix;
    copy<BYTES>(to + r * STRIDE + column * 2, from, valid);
  }
}

// The fragments of 16 rows, of which this lane has rows lane / 4 and + 8.
__device__ __forceinline__ void load_rows(
    u32 (&a)[STEPS][4], const u16 *low, const u16 *high, bool lowValid, bool highValid) {
#pragma unroll
  for (int k = 0; k < STEPS; k++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int column = k * 16 + i / 2 * 8 + (threadIdx.x & 3) * 2;
      const bool valid = (i % 2 ? highValid : lowValid) && (PADDED == HEAD || column < HEAD);
      a[k][i] = valid ? *(const u32 *)((i % 2 ? high : low) + column) : 0;
    }
}

__device__ __forceinline__ void store_rows(
    const float (&sums)[2 * STEPS][4], u16 *low, u16 *high, bool lowValid, bool highValid, float lowFactor,
    float highFactor) {
#pragma unroll
  for (int n = 0; n < 2 * STEPS; n++) {
    const int column = n * 8 + (threadIdx.x & 3) * 2;
    if (PADDED != HEAD && column >= HEAD) continue;
    if (lowValid) *(u32 *)(low + column) = narrow(sums[n][0] * lowFactor, sums[n][1] * lowFactor);
    if (highValid) *(u32 *)(high + column) = narrow(sums[n][2] * highFactor, sums[n][3] * highFactor);
  }
}

// s[m] = start + a[m] b^T for N groups of 8 rows of b from `address` on: the lane's own, of matrices
// (rows 0-7, columns 0-7), (0-7, 8-15), (8-15, 0-7), (8-15, 8-15).
template <int M, int N>
__device__ __forceinline__ void multiply_rows(
    float (&s)[M][N][4], const u32 (&a)[M][STEPS][4], u32 address) {
#pragma unroll
  for (int n = 0; n < N; n += 2)
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
      u32 b[4];
      load_matrices(b, address + n * 8 * STRIDE + k * 32);
#pragma unroll
      for (int m = 0; m < M; m++) {
        multiply(s[m][n], a[m][k], b[0], b[1], s[m][n]);
        multiply(s[m][n + 1], a[m][k], b[2], b[3], s[m][n + 1]);
      }
    }
}

// sums[m] += p[m] b for 16 rows of b: the lane's own address, of matrices (rows 0-7, columns 0-7),
// (8-15, 0-7), (0-7, 8-15), (8-15, 8-15). (The order of multiply_rows would do, but a pair of registers
// that do not follow one another is moved before each product.)
template <int M>
__device__ __forceinline__ void add_product(
    float (&sums)[M][2 * STEPS][4], const u32 (&p)[M][4], u32 address) {
#pragma unroll
  for (int k = 0; k < STEPS; k++) {
    u32 b[4];
    load_transposed(b, address + k * 32);
#pragma unroll
    for (int m = 0; m < M; m++) {
      multiply(sums[m][2 * k], p[m], b[0], b[1], sums[m][2 * k]);
      multiply(sums[m][2 * k + 1], p[m], b[2], b[3], sums[m][2 * k + 1]);
    }
  }
}

// What a block and its warp work on; `rows` counts those of a sequence and key-value head.
struct Place {
  int lane, warp, sequence, kv, rows;
  long long stride, outputStride;
  long long queries, keys, values, outputs;  // where its first token has them

  // Volatile, so that what is needed rarely, or after the loops, does not wait in registers.
  __device__ __forceinline__ Place(const AttentionTrain &a) {
    int thread;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
    lane = thread & 31, warp = thread >> 5;
    kv = blockIdx.x, sequence = blockIdx.y;
    rows = a.length * GROUP;
    outputStride = a.kvHeads * GROUP * HEAD, stride = outputStride + 2 * a.kvHeads * HEAD;
    queries = (long long)sequence * a.length * stride + kv * GROUP * HEAD;
    keys = (long long)sequence * a.length * stride + outputStride + kv * HEAD;
    values = keys + a.kvHeads * HEAD;
    outputs = (long long)sequence * a.length * outputStride + kv * GROUP * HEAD;
  }
  __device__ __forceinline__ long long query(int row) const {
    return queries + row / GROUP * stride + row % GROUP * HEAD;
  }
  __device__ __forceinline__ long long output(int row) const {
    return outputs + row / GROUP * outputStride + row % GROUP * HEAD;
  }
  __device__ __forceinline__ long long row_sum(const AttentionTrain &a, int row) const {
    return ((long long)sequence * a.kvHeads * GROUP + kv * GROUP + row % GROUP) * a.length + row / GROUP;
  }
  // This lane's part of the addresses of multiply_rows and add_product.
  __device__ __forceinline__ u32 fragment() const {
    return ((lane >> 4) * 8 + (lane & 7)) * STRIDE + (lane >> 3 & 1) * 16;
  }
  __device__ __forceinline__ u32 transposed() const {
    return ((lane >> 3 & 1) * 8 + (lane & 7)) * STRIDE + (lane >> 4) * 16;
  }
};

extern __shared__ __align__(16) unsigned char attention_memory[];

// Kernels ----------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(THREADS, FORWARD_BLOCKS)
attention_train_forward(const __grid_constant__ AttentionTrain a) {
  constexpr int ROWS = 64 * MT, N = CHUNK / 8;
  const Place at(a);
  const u32 memory = (u32)__cvta_generic_to_shared(attention_memory);
  const int first = (gridDim.z - 1 - blockIdx.z) * ROWS, own = first + at.warp * 16 * MT;
  const int tiles = ((min(first + ROWS, at.rows) - 1) / GROUP + TILE) / TILE;
  copy_tile<1>(memory, a.qkv + at.keys, at.stride, 0, a.length);
  copy_tile<1>(memory + TILE_BYTES, a.qkv + at.values, at.stride, 0, a.length);

  u32 query[MT][STEPS][4];
#pragma unroll
  for (int m = 0; m < MT; m++) {
    const int low = own + m * 16 + at.lane / 4, high = low + 8;
    load_rows(query[m], a.qkv + at.query(low), a.qkv + at.query(high), low < at.rows, high < at.rows);
  }
  const int lowest = own / GROUP, highest = own < at.rows ? (own + 16 * MT - 1) / GROUP : -1;
  const float factor = a.scale * LOG2E;

  float sums[MT][2 * STEPS][4] = {}, total[MT][2] = {}, largest[MT][2];
#pragma unroll
  for (int m = 0; m < MT; m++) largest[m][0] = largest[m][1] = -1e30f;

  const auto score = [&](float (&s)[MT][N][4], u32 stage, int key, int chunk, bool masked) {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
      for (int n = 0; n < N; n++) s[m][n][0] = s[m][n][1] = s[m][n][2] = s[m][n][3] = 0.f;
    multiply_rows(s, query, stage + chunk * STRIDE + at.fragment());
    if (masked) {
      const Place here(a);
      const auto position = [&](int m, int half) {
        return (first + here.warp * 16 * MT + m * 16 + half * 8 + here.lane / 4) / GROUP;
      };
#pragma unroll
      for (int m = 0; m < MT; m++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
          for (int i = 0; i < 4; i++)
            if (key + chunk + n * 8 + (here.lane & 3) * 2 + i % 2 > position(m, i / 2)) s[m][n][i] = MASKED;
    }
  };
  // Adds what `score` found for CHUNK keys.
  const auto add = [&](float (&s)[MT][N][4], u32 stage, int key, int chunk, bool masked) {
    float sum[MT][2];
    u32 p[N / 2][MT][4];
    const auto exponentiate = [&] {
#pragma unroll
      for (int m = 0; m < MT; m++)
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
          for (int n = 0; n < N; n++) {
            const float left = power_of_two(s[m][n][2 * half] * factor - largest[m][half]);
            const float right = power_of_two(s[m][n][2 * half + 1] * factor - largest[m][half]);
            sum[m][half] = n == 0 ? left + right : sum[m][half] + (left + right);
            p[n / 2][m][n % 2 * 2 + half] = narrow(left, right);
          }
    };
    exponentiate();
    float check = sum[0][0] + sum[0][1];
#pragma unroll
    for (int m = 1; m < MT; m++) check += sum[m][0] + sum[m][1];
    if (!__all_sync(~0u, check <= LIMIT)) {
      score(s, stage, key, chunk, masked);
#pragma unroll
      for (int m = 0; m < MT; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
          float value = s[m][0][2 * half];
#pragma unroll
          for (int n = 0; n < N; n++) value = fmaxf(value, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
          value = fmaxf(value, __shfl_xor_sync(~0u, value, 1));
          value = fmaxf(value, __shfl_xor_sync(~0u, value, 2));
          value = fmaxf(value * factor, largest[m][half]);
          const float old = power_of_two(largest[m][half] - value);
          largest[m][half] = value, total[m][half] *= old;
#pragma unroll
          for (int n = 0; n < 2 * STEPS; n++) sums[m][n][2 * half] *= old, sums[m][n][2 * half + 1] *= old;
        }
      exponentiate();
    }
#pragma unroll
    for (int m = 0; m < MT; m++) total[m][0] += sum[m][0], total[m][1] += sum[m][1];
#pragma unroll
    for (int n = 0; n < N / 2; n++)
      add_product(sums, p[n], stage + TILE_BYTES + (chunk + n * 16) * STRIDE + at.transposed());
  };

  for (int tile = 0; tile < tiles; tile++) {
    const u32 stage = memory + (tile & 1) * 2 * TILE_BYTES, other = memory + (~tile & 1) * 2 * TILE_BYTES;
    copies_done();
    if (tile + 1 < tiles) {
      copy_tile<1>(other, a.qkv + at.keys, at.stride, (tile + 1) * TILE, a.length);
      copy_tile<1>(other + TILE_BYTES, a.qkv + at.values, at.stride, (tile + 1) * TILE, a.length);
    }
    // Full tiles compute the scores of the next keys while they exponentiate those of these.
    if (tile * TILE + TILE - 1 <= lowest) {
      float s[2][MT][N][4];
      score(s[0], stage, tile * TILE, 0, false);
#pragma unroll
      for (int chunk = 0; chunk < TILE; chunk += CHUNK) {
        if (chunk + CHUNK < TILE) score(s[chunk / CHUNK + 1 & 1], stage, tile * TILE, chunk + CHUNK, false);
        add(s[chunk / CHUNK & 1], stage, tile * TILE, chunk, false);
      }
    } else {
#pragma unroll 1
      for (int chunk = 0; chunk < TILE && tile * TILE + chunk <= highest; chunk += CHUNK) {
        float s[MT][N][4];
        score(s, stage, tile * TILE, chunk, true);
        add(s, stage, tile * TILE, chunk, true);
      }
    }
  }

  const Place end(a);
#pragma unroll
  for (int m = 0; m < MT; m++) {
    const int low = first + end.warp * 16 * MT + m * 16 + end.lane / 4, high = low + 8;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float &sum = total[m][half];
      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      const int row = half ? high : low;
      if (end.lane % 4 == 0 && row < end.rows)
        a.logSumExp[end.row_sum(a, row)] = (largest[m][half] + log2f(sum)) * 0.693147181f;
    }
    store_rows(sums[m], a.output + end.output(low), a.output + end.output(high), low < end.rows, high < end.rows,
               1.f / total[m][0], 1.f / total[m][1]);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, QUERIES_BLOCKS)
attention_train_queries(const __grid_constant__ AttentionTrain a) {
  constexpr int ROWS = 64 * MT;
  const Place at(a);
  const u32 memory = (u32)__cvta_generic_to_shared(attention_memory);
  const int first = (gridDim.z - 1 - blockIdx.z) * ROWS, own = first + at.warp * 16 * MT;
  const int tiles = ((min(first + ROWS, at.rows) - 1) / GROUP + TILE) / TILE;
  copy_tile<1>(memory, a.qkv + at.keys, at.stride, 0, a.length);
  copy_tile<1>(memory + TILE_BYTES, a.qkv + at.values, at.stride, 0, a.length);

  u32 query[MT][STEPS][4], upstream[MT][STEPS][4];
  float shift[MT][2], start[MT][4];  // -logSumExp log2 e; -delta
#pragma unroll
  for (int m = 0; m < MT; m++) {
    const int low = own + m * 16 + at.lane / 4, high = low + 8;
    load_rows(query[m], a.qkv + at.query(low), a.qkv + at.query(high), low < at.rows, high < at.rows);
    load_rows(upstream[m], a.upstream + at.output(low), a.upstream + at.output(high), low < at.rows,
              high < at.rows);
    u32 output[STEPS][4];
    load_rows(output, a.output + at.output(low), a.output + at.output(high), low < at.rows, high < at.rows);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = half ? high : low;
      float delta = 0.f;
#pragma unroll
      for (int k = 0; k < STEPS; k++)
#pragma unroll
        for (int i = half; i < 4; i += 2) {
          const u32 x = output[k][i], y = upstream[m][k][i];
          delta += __uint_as_float(x << 16) * __uint_as_float(y << 16);
          delta += __uint_as_float(x & 0xffff0000) * __uint_as_float(y & 0xffff0000);
        }
      delta += __shfl_xor_sync(~0u, delta, 1);
      delta += __shfl_xor_sync(~0u, delta, 2);
      shift[m][half] = row < at.rows ? -LOG2E * a.logSumExp[at.row_sum(a, row)] : 0.f;
      start[m][2 * half] = start[m][2 * half + 1] = -delta;
      const int scratchTiles = (at.rows + 63) / 64;
      if (at.lane % 4 == 0 && row < scratchTiles * 64) {
        float *scratch = (float *)(a.scratch + (((long long)at.sequence * a.kvHeads + at.kv) * scratchTiles + row / 64) * SCRATCH_BYTES);
        const int r = row % 64;
        scratch[r / 2 * 4 + r % 2] = scratch[r / 2 * 4 + 2 + r % 2] = -delta;
        scratch[128 + r] = shift[m][half];
      }
    }
  }
  const int lowest = own / GROUP, highest = own < at.rows ? (own + 16 * MT - 1) / GROUP : -1;
  const float factor = a.scale * LOG2E;
  float sums[MT][2 * STEPS][4] = {};

  const auto score = [&](float (&s)[MT][2][4], float (&ds)[MT][2][4], u32 stage, int key, int chunk,
                         bool masked) {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
      for (int i = 0; i < 8; i++) s[m][i / 4][i % 4] = 0.f, ds[m][i / 4][i % 4] = start[m][i % 4];
    multiply_rows(s, query, stage + chunk * STRIDE + at.fragment());
    multiply_rows(ds, upstream, stage + TILE_BYTES + chunk * STRIDE + at.fragment());
    if (masked) {
      const Place here(a);
      const auto position = [&](int m, int half) {
        return (first + here.warp * 16 * MT + m * 16 + half * 8 + here.lane / 4) / GROUP;
      };
#pragma unroll
      for (int m = 0; m < MT; m++)
#pragma unroll
        for (int i = 0; i < 8; i++)
          if (key + chunk + i / 4 * 8 + (here.lane & 3) * 2 + i % 2 > position(m, i % 4 / 2))
            s[m][i / 4][i % 4] = MASKED;
    }
  };
  const auto add = [&](const float (&s)[MT][2][4], const float (&ds)[MT][2][4], u32 stage, int chunk) {
    u32 p[MT][4];
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float *score = &s[m][i / 2][i % 2 * 2], *slope = &ds[m][i / 2][i % 2 * 2];
        p[m][i] = narrow(power_of_two(score[0] * factor + shift[m][i % 2]) * slope[0],
                         power_of_two(score[1] * factor + shift[m][i % 2]) * slope[1]);
      }
    add_product(sums, p, stage + chunk * STRIDE + at.transposed());
  };

  for (int tile = 0; tile < tiles; tile++) {
    const u32 stage = memory + (tile & 1) * 2 * TILE_BYTES, other = memory + (~tile & 1) * 2 * TILE_BYTES;
    copies_done();
    if (tile + 1 < tiles) {
      copy_tile<1>(other, a.qkv + at.keys, at.stride, (tile + 1) * TILE, a.length);
      copy_tile<1>(other + TILE_BYTES, a.qkv + at.values, at.stride, (tile + 1) * TILE, a.length);
    }
    if (QUERIES_AHEAD && tile * TILE + TILE - 1 <= lowest) {
      float s[2][MT][2][4], ds[2][MT][2][4];
      score(s[0], ds[0], stage, tile * TILE, 0, false);
#pragma unroll
      for (int chunk = 0; chunk < TILE; chunk += 16) {
        const int now = chunk / 16 & 1, next = chunk / 16 + 1 & 1;
        if (chunk + 16 < TILE) score(s[next], ds[next], stage, tile * TILE, chunk + 16, false);
        add(s[now], ds[now], stage, chunk);
      }
    } else {
#pragma unroll 1
      for (int chunk = 0; chunk < TILE && tile * TILE + chunk <= highest; chunk += 16) {
        float s[MT][2][4], ds[MT][2][4];
        score(s, ds, stage, tile * TILE, chunk, QUERIES_AHEAD || tile * TILE + chunk + 15 > lowest);
        add(s, ds, stage, chunk);
      }
    }
  }

  const Place end(a);
#pragma unroll
  for (int m = 0; m < MT; m++) {
    const int low = first + end.warp * 16 * MT + m * 16 + end.lane / 4, high = low + 8;
    store_rows(sums[m], a.gradient + end.query(low), a.gradient + end.query(high), low < end.rows,
               high < end.rows, a.scale, a.scale);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, KEYS_BLOCKS)
attention_train_keys(const __grid_constant__ AttentionTrain a) {
  constexpr int KEYS = 64 * KEYS_MT, M = KEYS_MT, STAGE = 2 * TILE_BYTES + SCRATCH_BYTES;
  const Place at(a);
  const u32 memory = (u32)__cvta_generic_to_shared(attention_memory);
  const int first = blockIdx.z * KEYS, own = first + at.warp * 16 * M;
  const int tiles = (at.rows + TILE - 1) / TILE, firstTile = first * GROUP / TILE;
  const auto fill = [&](int tile) {
    const u32 to = memory + (tile & 1) * STAGE;
    copy_tile<GROUP>(to, a.qkv + at.queries, at.stride, tile * TILE, at.rows);
    copy_tile<GROUP>(to + TILE_BYTES, a.upstream + at.outputs, at.outputStride, tile * TILE, at.rows);
    if (threadIdx.x < SCRATCH_BYTES / 16)
      copy<16>(to + 2 * TILE_BYTES + threadIdx.x * 16,
               a.scratch + (((long long)at.sequence * a.kvHeads + at.kv) * tiles + tile) * SCRATCH_BYTES + threadIdx.x * 16, true);
  };
  fill(firstTile);

  u32 key[M][STEPS][4], value[M][STEPS][4];
#pragma unroll
  for (int m = 0; m < M; m++) {
    const long long low = own + m * 16 + at.lane / 4, high = low + 8;
    const u16 *lowRow = a.qkv + low * at.stride, *highRow = a.qkv + high * at.stride;
    load_rows(key[m], lowRow + at.keys, highRow + at.keys, low < a.length, high < a.length);
    load_rows(value[m], lowRow + at.values, highRow + at.values, low < a.length, high < a.length);
  }
  const float factor = a.scale * LOG2E;
  float keySums[M][2 * STEPS][4] = {}, valueSums[M][2 * STEPS][4] = {};

  const auto score = [&](float (&s)[M][2][4], float (&ds)[M][2][4], u32 stage, const unsigned char *scratch,
                         int row, int chunk, bool masked) {
#pragma unroll
    for (int n = 0; n < 2; n++) {
      const float4 start = *(const float4 *)(scratch + (chunk + n * 8 + (at.lane & 3) * 2) * 8);
#pragma unroll
      for (int m = 0; m < M; m++) {
        s[m][n][0] = s[m][n][1] = s[m][n][2] = s[m][n][3] = 0.f;
        ds[m][n][0] = start.x, ds[m][n][1] = start.y, ds[m][n][2] = start.z, ds[m][n][3] = start.w;
      }
    }
    multiply_rows(s, key, stage + chunk * STRIDE + at.fragment());
    multiply_rows(ds, value, stage + TILE_BYTES + chunk * STRIDE + at.fragment());
    if (masked) {
      const Place here(a);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int position = (row + chunk + i / 2 * 8 + (here.lane & 3) * 2 + i % 2) / GROUP;
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
          for (int half = 0; half < 2; half++)
            if (first + here.warp * 16 * M + m * 16 + half * 8 + here.lane / 4 > position) s[m][i / 2][half * 2 + i % 2] = MASKED;
      }
    }
  };
  const auto add = [&](const float (&s)[M][2][4], const float (&ds)[M][2][4], u32 stage,
                       const unsigned char *scratch, int chunk) {
    u32 p[M][4], slope[M][4];
#pragma unroll
    for (int n = 0; n < 2; n++) {
      const float2 shift = *(const float2 *)(scratch + 512 + (chunk + n * 8 + (at.lane & 3) * 2) * 4);
#pragma unroll
      for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
          const int j = half * 2;
          const float left = power_of_two(s[m][n][j] * factor + shift.x);
          const float right = power_of_two(s[m][n][j + 1] * factor + shift.y);
          p[m][n * 2 + half] = narrow(left, right);
          slope[m][n * 2 + half] = narrow(left * ds[m][n][j], right * ds[m][n][j + 1]);
        }
    }
    add_product(valueSums, p, stage + TILE_BYTES + chunk * STRIDE + at.transposed());
    add_product(keySums, slope, stage + chunk * STRIDE + at.transposed());
  };

  for (int tile = firstTile; tile < tiles; tile++) {
    const u32 stage = memory + (tile & 1) * STAGE;
    const unsigned char *scratch = attention_memory + (tile & 1) * STAGE + 2 * TILE_BYTES;
    copies_done();
    if (tile + 1 < tiles) fill(tile + 1);
    if (own >= a.length) continue;
    if (KEYS_AHEAD && tile * TILE / GROUP >= own + 16 * M - 1) {
      float s[2][M][2][4], ds[2][M][2][4];
      score(s[0], ds[0], stage, scratch, 0, 0, false);
#pragma unroll
      for (int chunk = 0; chunk < TILE; chunk += 16) {
        const int now = chunk / 16 & 1, next = chunk / 16 + 1 & 1;
        if (chunk + 16 < TILE) score(s[next], ds[next], stage, scratch, 0, chunk + 16, false);
        add(s[now], ds[now], stage, scratch, chunk);
      }
    } else {
#pragma unroll 1
      for (int chunk = 0; chunk < TILE; chunk += 16) {
        const int row = tile * TILE + chunk;
        if ((row + 15) / GROUP < own) continue;
        float s[M][2][4], ds[M][2][4];
        score(s, ds, stage, scratch, tile * TILE, chunk, row / GROUP < own + 16 * M - 1);
        add(s, ds, stage, scratch, chunk);
      }
    }
  }

  const Place end(a);
#pragma unroll
  for (int m = 0; m < M; m++) {
    const long long low = first + end.warp * 16 * M + m * 16 + end.lane / 4, high = low + 8;
    u16 *lowRow = a.gradient + low * end.stride, *highRow = a.gradient + high * end.stride;
    store_rows(keySums[m], lowRow + end.keys, highRow + end.keys, low < a.length, high < a.length, a.scale, a.scale);
    store_rows(valueSums[m], lowRow + end.values, highRow + end.values, low < a.length, high < a.length, 1.f, 1.f);
  }
}
