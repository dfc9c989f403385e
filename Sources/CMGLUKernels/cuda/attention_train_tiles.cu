// attention_train_tiles: products of rows in registers with tiles in shared memory. A part of
// attention_train.cu, which includes it: it takes its constants and AttentionTrain.

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
