// attention_train_tiles: rows in registers and tiles in shared memory, and where they are. A part of
// attention_train.cu, which includes it: it takes its constants, attention_matrices.cu and AttentionTrain.

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
