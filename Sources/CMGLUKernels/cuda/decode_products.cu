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
  const int stride = projection::input_stride(columns), step = THREADS * 8;
  projection::Flash f;
  f.pieces = d.pieces;
  for (int k = thread * 8; k < columns; k += step) {
    float value[8];
    await_chunk(words + k, epoch, thread & 31, value);
    projection::store_chunk(f, block.xs, stride, 0, k, value);
  }
  meet();
}

// A normalised input, from words or from `plain`: at most as long as the threads can hold.
__device__ __forceinline__ void stage_normalised(
    const Decode &d, Block &block, const u64 *words, const float *plain, const float *norm,
    u32 epoch) {
  const int thread = thread_index();
  const int stride = projection::input_stride(d.hidden), step = THREADS * 8;
  projection::Flash f;
  f.pieces = d.pieces;
  // Weights are on their way while the input is waited for; beyond its end all are zeros.
  float value[NORMALISED][8] = {}, weight[NORMALISED][8] = {}, sum = 0.f;
#pragma unroll
  for (int a = 0; a < NORMALISED; a++) {
    const int k = thread * 8 + a * step;
    if (k < d.hidden) {
      *(float4 *)weight[a] = *(const float4 *)(norm + k);
      *(float4 *)(weight[a] + 4) = *(const float4 *)(norm + k + 4);
    }
  }
#pragma unroll
  for (int a = 0; a < NORMALISED; a++) {
    const int k = thread * 8 + a * step;
    if (k < d.hidden) {
      if (plain) {
        *(float4 *)value[a] = *(const float4 *)(plain + k);
        *(float4 *)(value[a] + 4) = *(const float4 *)(plain + k + 4);
      } else {
        await_chunk(words + k, epoch, thread & 31, value[a]);
      }
    }
    sum += projection::squares(value[a]);
  }
  sum = projection::warp_sum(sum);
  if ((thread & 31) == 0) block.scratch[thread >> 5] = sum;
  meet();
  float total = 0.f;
#pragma unroll
  for (int w = 0; w < WARPS; w++) total += block.scratch[w];
  const float scale = rsqrtf(total / d.hidden + d.epsilon);
#pragma unroll
  for (int a = 0; a < NORMALISED; a++) {
    const int k = thread * 8 + a * step;
#pragma unroll
    for (int i = 0; i < 8; i++) value[a][i] *= scale * weight[a][i];
    if (k < d.hidden) projection::store_chunk(f, block.xs, stride, 0, k, value[a]);
  }
  meet();
}

// This block's tiles of a matrix over the staged input. Results become words; what adds to the
// residual does so first.
template <bool isUnit>
__device__ __forceinline__ void multiply_tiles(
    const Decode &d, Block &block, int rows, int columns, int first, u64 *words, bool isResidual,
    u32 epoch) {
  constexpr int MASKS = isUnit ? UNIT_MASKS : 0, PLANES = isUnit ? UNIT_PLANES : 1;
  constexpr int STREAMS = isUnit ? unit::STREAMS : 1, TERMS = isUnit ? unit::TERMS : 1;
  const int thread = thread_index();
  const int lane = thread & 31, warp = thread >> 5, own = columns / 64 / WARPS;
  const unsigned char *x = block.xs + (lane & 3) * 16 + warp * own * 128 +
                           min(lane >> 2, d.pieces - 1) * projection::input_stride(columns);
  const int sums = WARPS * unit::STREAMS * 16 * d.pieces;
  Ring &ring = block.ring;
  unit::Flash f;
  f.activation = d.activation, f.gating = d.gating;
  for (int tile = first; tile < rows / 16; tile += gridDim.x, block.round++) {
    const int item = (thread + (block.round & 1) * (THREADS / 2)) % THREADS;
    const int row = tile * 16 + item / TERMS;
    float sum[STREAMS][1][4] = {};
    for (int cell = 0; cell < own; cell++) {
      const unsigned char *from = ring.part(warp);
      const u32 empty = ring.empty + ring.stage * 8;
      projection::barrier_wait(ring.full + ring.stage * 8, ring.parity);
      ring.next(isUnit ? CELL : PLANE);
      if constexpr (isUnit) {
        int stride = 0;
        const u32 second = ring.empty + ring.stage * 8;
        if (PLANES == 2) {
          stride = (int)(ring.part(warp) - from);
          projection::barrier_wait(ring.full + ring.stage * 8, ring.parity);
          ring.next(PLANE);
        }
        unit::add_cell(sum, from, stride, x + cell * 128, x, lane);
        if (PLANES == 2) release(second, lane);
      } else {
        projection::add_cell(sum, from, 0, x + cell * 128, x, lane);
      }
      release(empty, lane);
    }

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
    publish(words + row, a, epoch);
  }
}
