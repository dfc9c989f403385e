// attention_prompt: attention of prompts' rows over a cache of 16 bits in blocks, on tensor cores.
//
// Problem   For each row of a tile, at position p, and each query head: attend to the last `window` of
//           positions 0...p of its sequence. attention_store.cu has rotated the queries and stored the
//           keys and values of all rows. Softmax in float32, online.
// Layout    attention_step.cu; a tile is up to 128 consecutive rows of a sequence.
// Variants  HEAD 32, 64, 96 or 128; BF16, the type of cache and output, and ROW_BITS of qkv, in
//           whose rows attention_store.cu left the queries (the same, unless given); INTERLEAVED, the order
//           of rows of output.
// Launch    grid (heads, tiles), THREADS threads, dynamic shared memory of 4 TILE_BYTES.
//
// A block has the rows of a tile for one head; later tiles, which have more keys, start first. Keys come a
// block of the cache at a time, so a row meets them in the same steps whatever tile it is in, and
// those that it does not see change nothing: its result depends on its sequence and position alone.
//
// Measured on an H100 (2026-11-26), 32 heads, 8 key-value heads, HEAD 64, FP16, TFLOP/s of what causal rows
// need: prompts of 512, 2048 and 8192 at 74, 256 and 329; attention_prompt_hopper.cu has 2048 at 334 and
// 8192 at 436, PyTorch 2.11 (with keys and values for every head) 93, 284 and 434. Three stages, or one block
// to a multiprocessor, change nothing.

#ifndef HEAD
#define HEAD 64
#endif
#define BITS 16

#include "cmglu_numbers.h"

#include "attention_numbers.cu"
#include "attention_rotation.cu"
#include "attention_step.cu"

constexpr int STEPS = HEAD / 16;
constexpr int STRIDE = HEAD * 2 + 16;  // bytes: an odd number of 16, so ldmatrix has no conflicts
constexpr int TILE_BYTES = BLOCK * STRIDE;
constexpr int ROWS = 128;              // of a tile
constexpr int GROUPS = HEAD <= 64 ? 2 : 1;  // of 16 rows, of a warp
constexpr int THREADS = ROWS / GROUPS * 2;
constexpr int STAGES = 2;

#include "attention_matrices.cu"
#include "attention_softmax.cu"

extern __shared__ __align__(16) unsigned char attention_memory[];

// Keys and values of a block of the cache, `count` rows of each; the others become zeros, so that what
// is there of other sequences multiplies nothing.
__device__ __forceinline__ void copy_block(u32 to, const Attention &a, int block, int kv, int count) {
  constexpr int PIECES = HEAD / 8;
  const long long at = a.at(block, kv);
#pragma unroll
  for (int i = 0; i < BLOCK * PIECES / THREADS; i++) {
    const int piece = i * THREADS + threadIdx.x, row = piece / PIECES, column = piece % PIECES;
    copy<16>(to + row * STRIDE + column * 16, a.keys + at + piece * 8, row < count);
    copy<16>(to + TILE_BYTES + row * STRIDE + column * 16, a.values + at + piece * 8, row < count);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, HEAD <= 64 ? 2 : 1)
attention_prompt(const __grid_constant__ Attention a) {
  wait_for_input();
  launch_dependents();
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int4 tile = ((const int4 *)a.tiles)[gridDim.y - 1 - blockIdx.y];
  const int head = blockIdx.x, kv = head / (a.heads / a.kvHeads);
  const int first = tile.x, rows = tile.y, start = tile.w, end = start + rows;
  const int *table = a.blockTables + (long long)tile.z * a.blocksPerSequence;
  const u32 memory = (u32)__cvta_generic_to_shared(attention_memory);
  const int from = a.lowest(start) / BLOCK, to = (end - 1) / BLOCK + 1;
#pragma unroll
  for (int i = 0; i < STAGES - 1; i++) {
    if (from + i < to)
      copy_block(memory + (from + i) % STAGES * 2 * TILE_BYTES, a, table[from + i], kv, end - (from + i) * BLOCK);
    asm volatile("cp.async.commit_group;" ::: "memory");
  }

  // This lane's rows: own, + 8, and the next group's.
  const int own = warp * 16 * GROUPS + lane / 4;
  const int lowest = start + warp * 16 * GROUPS, highest = min(lowest + 16 * GROUPS, end) - 1;
  u32 query[GROUPS][STEPS][4];
#pragma unroll
  for (int m = 0; m < GROUPS; m++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = min(own + m * 16 + i % 2 * 8, rows - 1);
      const Element *x = a.queries(first + row, head) + lane % 4 * 2;
#pragma unroll
      for (int k = 0; k < STEPS; k++) query[m][k][i] = *(const u32 *)(x + k * 16 + i / 2 * 8);
    }
  const u32 fragment = ((lane >> 4) * 8 + (lane & 7)) * STRIDE + (lane >> 3 & 1) * 16;
  const u32 transposed = ((lane >> 3 & 1) * 8 + (lane & 7)) * STRIDE + (lane >> 4) * 16;
  const float factor = a.scale * 1.44269504f;
  float value[GROUPS][2 * STEPS][4] = {};
  Softmax<GROUPS> softmax;

  for (int chunk = from; chunk < to; chunk++) {
    asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
    __syncthreads();
    const int next = chunk + STAGES - 1;
    if (next < to)
      copy_block(memory + next % STAGES * 2 * TILE_BYTES, a, table[next], kv, end - next * BLOCK);
    asm volatile("cp.async.commit_group;" ::: "memory");
    const int begin = chunk * BLOCK;
    if (begin > highest || begin + BLOCK <= a.lowest(lowest)) continue;
    const u32 stage = memory + chunk % STAGES * 2 * TILE_BYTES;

    float score[GROUPS][KEYS][4] = {}, factors[GROUPS][2];
    multiply_rows(score, query, stage + fragment);
    if (begin + BLOCK - 1 > lowest || begin < a.lowest(highest))
      softmax.mask(a, score, start + own, begin, lane);
    if (softmax.weigh(score, factor, factors)) rescale(value, factors);
#pragma unroll
    for (int n = 0; n < KEYS; n += 2) {
      u32 weights[GROUPS][4];
#pragma unroll
      for (int m = 0; m < GROUPS; m++)
#pragma unroll
        for (int i = 0; i < 4; i++)
          weights[m][i] = narrow(score[m][n + i / 2][i % 2 * 2], score[m][n + i / 2][i % 2 * 2 + 1]);
      add_product(value, weights, stage + TILE_BYTES + n * 8 * STRIDE + transposed);
    }
  }

#pragma unroll
  for (int m = 0; m < GROUPS; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const float inverse = softmax.inverse(m, half);
      const int row = own + m * 16 + half * 8;
      Element *y = a.output + ((long long)(first + row) * a.heads + head) * HEAD;
      if (row < rows)
#pragma unroll
        for (int columns = 0; columns < HEAD / 32; columns++) {
          u32 pairs[4];
#pragma unroll
          for (int i = 0; i < 4; i++) {
            const float(&pair)[4] = value[m][columns * 4 + i];
            pairs[i] = narrow(pair[2 * half] * inverse, pair[2 * half + 1] * inverse);
          }
          leave_columns(y + columns * 32, pairs, lane);
        }
    }
}
