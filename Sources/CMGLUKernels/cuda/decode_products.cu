// decode_products: a block's tiles of a matrix: the input, from what other blocks found, and the
// products. A part of decode.cu, which includes it: it takes its Decode and Layer, decode_ring.cu
// and decode_exchange.cu.

// What every matrix's part needs.
struct Block {
  Ring ring;
  Layer *layers;
  unsigned char *xs;
  float *partial, *scratch;
  float *residual;  // of this block's tiles
  int round;
};

// An input in the weights' type, from words.
__device__ __forceinline__ void stage_input(
    const Decode &d, Block &block, const u64 *words, int columns, u32 epoch) {
  const int thread = thread_index();
  const int stride = projection::input_stride(columns);
  projection::FusedLinear f;
  f.pieces = d.pieces;
  for (int from = thread / 32 * 256; from < columns; from += AWAITED * STEP) {  // of a warp
    const int k = from + thread % 32 * 8;
    await_tiles<AWAITED>(words, k, columns, epoch, thread & 31);
#pragma unroll
    for (int first = 0; first < AWAITED; first += TAKEN) {
      float value[TAKEN][8];
      take_chunks(words, k + first * STEP, columns, epoch, value);
#pragma unroll
      for (int a = 0; a < TAKEN; a++)
        if (k + (first + a) * STEP < columns)
          projection::store_chunk(f, block.xs, stride, 0, k + (first + a) * STEP, value[a]);
    }
  }
  meet();
}

// A token's row of the embedding, where it lies in the matrix's cells. One that is none, after
// logits of which none was a number, is read as another.
struct Embedded {
  const unsigned char *tile;
  int row;  // of the tile

  __device__ __forceinline__ Embedded(const Decode &d) {
    const int token = max(*d.token, 0);
    tile = d.embedding + (long long)(token >> 4) * (d.hidden / 64) * PLANE, row = token & 15;
  }
  // Where eight elements lie, from a multiple of eight on.
  __device__ __forceinline__ const unsigned char *chunk(int k) const {
    const int block = k >> 5 & 1, half = row >> 3, lane = (row & 7) * 4 + (k >> 3 & 3);
    return tile + (k >> 6) * PLANE + (INT8 ? (block * 32 + lane) * 16 + half * 8 : ((block * 2 + half) * 32 + lane) * 16);
  }
#if INT8
  __device__ __forceinline__ float scale(int k) const {
    const unsigned char *scales = tile + (k >> 6) * PLANE + projection::INTEGER_BYTES;
    return projection::half_to_float(
        ((const projection::u16 *)scales)[(row & 7) * 4 + (k >> 5 & 1) * 2 + (row >> 3)]);
  }
  __device__ __forceinline__ void load(int k, float (&value)[8]) const {
    const uint2 bytes = *(const uint2 *)chunk(k);
#pragma unroll
    for (int i = 0; i < 8; i++)
      value[i] = scale(k) * ((int)((i < 4 ? bytes.x : bytes.y) >> i % 4 * 8 & 255) - 128);
  }
  __device__ __forceinline__ float operator[](int k) const { return scale(k) * ((int)chunk(k)[k & 7] - 128); }
#else
  __device__ __forceinline__ void load(int k, float (&value)[8]) const {
    const uint4 packed = *(const uint4 *)chunk(k);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float2 pair = projection::widen(projection::component(packed, i));
      value[2 * i] = pair.x, value[2 * i + 1] = pair.y;
    }
  }
  __device__ __forceinline__ float operator[](int k) const {
    const float2 pair = projection::widen(((const u32 *)chunk(k))[k >> 1 & 3]);
    return k & 1 ? pair.y : pair.x;
  }
#endif
};

// A normalized input, from words or from the embedding: at most as long as the threads can hold.
__device__ __forceinline__ void stage_normalized(
    const Decode &d, Block &block, const u64 *words, bool isEmbedded, const float *norm,
    u32 epoch) {
  const int thread = thread_index();
  const int stride = projection::input_stride(d.hidden);
  projection::FusedLinear f;
  f.pieces = d.pieces;
  // Weights are on their way while the input is waited for; beyond its end all are zeros.
  float value[NORMALIZED][8] = {}, weight[NORMALIZED][8] = {}, sum = 0.f;
#pragma unroll
  for (int a = 0; a < NORMALIZED; a++) {
    const int k = thread * 8 + a * STEP;
    if (k < d.hidden) {
      *(float4 *)weight[a] = *(const float4 *)(norm + k);
      *(float4 *)(weight[a] + 4) = *(const float4 *)(norm + k + 4);
    }
  }
  if (isEmbedded) {
#pragma unroll
    for (int a = 0; a < NORMALIZED; a++)
      if (thread * 8 + a * STEP < d.hidden)
        Embedded(d).load(thread * 8 + a * STEP, value[a]);
  } else {
    await_tiles<NORMALIZED>(words, thread * 8, d.hidden, epoch, thread & 31);
    take_chunks(words, thread * 8, d.hidden, epoch, value);
  }
#pragma unroll
  for (int a = 0; a < NORMALIZED; a++) sum += projection::squares(value[a]);
  sum = projection::warp_sum(sum);
  if ((thread & 31) == 0) block.scratch[thread >> 5] = sum;
  meet();
  float total = 0.f;
#pragma unroll
  for (int w = 0; w < WARPS; w++) total += block.scratch[w];
  const float scale = rsqrtf(total / d.hidden + d.epsilon);
#pragma unroll
  for (int a = 0; a < NORMALIZED; a++) {
    const int k = thread * 8 + a * STEP;
#pragma unroll
    for (int i = 0; i < 8; i++) value[a][i] *= scale * weight[a][i];
    if (k < d.hidden) projection::store_chunk(f, block.xs, stride, 0, k, value[a]);
  }
  meet();
}

// This block's tiles of a matrix over the staged input. Results become words, or logits where there
// are none; what adds to the residual does so first.
template <bool isUnit>
__device__ __forceinline__ void multiply_tiles(
    const Decode &d, Block &block, const Matrix &matrix, u64 *words, bool isResidual, u32 epoch) {
  constexpr int MASKS = isUnit ? UNIT_MASKS : 0, PLANES = isUnit ? UNIT_PLANES : 1;
  constexpr int SIZE = isUnit ? CELL : PLANE;
  constexpr int STREAMS = isUnit ? unit::STREAMS : 1, TERMS = isUnit ? unit::TERMS : 1;
  const int thread = thread_index();
  const int lane = thread & 31, warp = thread >> 5;
  const int own = (matrix.columns / 64 - warp + WARPS - 1) / WARPS;  // every eighth cell
  const unsigned char *x = block.xs + (lane & 3) * 16 + warp * 128 +
                           min(lane >> 2, d.pieces - 1) * projection::input_stride(matrix.columns);
  const int sums = WARPS * unit::STREAMS * 16 * d.pieces;
  Ring &ring = block.ring;
  unit::FusedLinear f;
  f.activation = d.activation, f.gating = d.gating;
  for (int tile = matrix.first; tile < matrix.tiles(); tile += gridDim.x, block.round++) {
    const int item = (thread + (block.round & 1) * (THREADS / 2)) % THREADS;
    const int row = tile * 16 + item / TERMS;
    float sum[STREAMS][1][4] = {};
    int left = matrix.stages();
    for (int cell = 0; cell < own; cell++, left -= PLANES) {
      // Of cells of two planes, four warps have theirs in one stage and four in the next.
      if (PLANES == 2 && warp >= WARPS / 2) ring.pass(SIZE, lane);
      ring.await();
      const unsigned char *from = ring.part(PLANES == 2 ? warp % (WARPS / 2) : warp, PLANES * SIZE);
      const auto input = [&](int, int block) {
        return *(const uint4 *)(x + cell * (WARPS * 128) + block * 64);
      };
      if constexpr (isUnit) unit::add_cell(sum, from, PLANE, input, lane);
      else projection::add_cell(sum, from, PLANE, input, lane);
      ring.release(lane);
      ring.next(SIZE);
      if (PLANES == 2 && warp < WARPS / 2 && left > 1) ring.pass(SIZE, lane);
    }
    for (; left > 0; left--) ring.pass(SIZE, lane);

    // [warp][piece][row 16][STREAMS]
    float *all = block.partial + (block.round & 1) * sums;
#pragma unroll
    for (int stream = 0; stream < STREAMS; stream++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int column = (lane & 3) * 2 + (i & 1), at = (lane >> 2) + (i >> 1) * 8;
        if (column < d.pieces)
          all[((warp * d.pieces + column) * 16 + at) * STREAMS + stream] = sum[stream][0][i];
      }
    meet();
    if (item >= 16 * TERMS) continue;
    const int mask = item % TERMS;
    float s = 0.f, t = 0.f;
    for (int piece = 0; piece < d.pieces; piece++)
#pragma unroll
      for (int w = 0; w < WARPS; w++) {
        const float *from = all + ((w * d.pieces + piece) * 16 + item / TERMS) * STREAMS;
        t += from[STREAMS - 1];
        if (STREAMS > 1) s += from[MASKS > 0 ? min(mask, MASKS - 1) : 0];
      }
    float a = t;
    if constexpr (isUnit) {
      a = mask < max(MASKS, 1) ? unit::combine(s, t, f) : 0.f;
#pragma unroll
      for (int other = 1; other < TERMS; other *= 2) a += __shfl_xor_sync(~0u, a, other);
    }
    if (mask > 0) continue;
    if (isResidual) {
      float &kept = block.residual[tile / gridDim.x * 16 + item];
      d.residual[row] = kept = a += kept;
    }
    if (words) publish(words + place(row), a, epoch);
    else if (row < matrix.rows) d.logits[row] = a;
  }
}
