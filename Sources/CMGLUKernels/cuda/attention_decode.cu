// attention_decode: attention of rows that decode, each the last of its own sequence, over a cache of
// 16 bits in blocks, on tensor cores.
//
// Problem   Row r is position p = positions[r] of the sequence in slots[r]: rotate its queries and its
//           key, store key and value in the cache, attend to the last `window` of positions 0...p.
// Layout    attention_step.cu.
// Variants  HEAD 32, 64, 96 or 128; ROTARY, the first elements of a head that are rotated (all, unless
//           given); QUERIES <= 8, the query heads that a block serves from one reading of their key-value
//           head, a divisor of heads / kvHeads; BF16, the type of cache and output, and
//           ROW_BITS, 32 where qkv is float32 (the same, unless given);
//           BLOCK_WARPS, the warps of a block (8, unless given); INTERLEAVED, the order of rows of output.
// Launch    32 BLOCK_WARPS threads:
//               attention_decode         grid (heads / QUERIES, 1, rows): a block for all splits of a row's
//                                        head, a warp each
//               attention_decode_splits  grid (heads / QUERIES, 8, rows), a cluster (1, 8, 1) from Hopper
//                                        on: a block for each split, its chunks in turn to its warps
//           Both have the same bits, and those of decode.cu (attention_chunk.cu). Positions, slots, tables
//           and what the cache holds of earlier positions must have been written by kernels that were
//           done when this one started: they are read before it waits for qkv.
//
// Measured on an H100 (2026-11-26), 32 heads, 8 key-value heads, HEAD 64, FP16, launches one after the
// other over four caches, microseconds and those of the cache's bytes at 3.09 TB/s:
//     rows, position   256, 511   256, 512   64, 512   64, 2048   16, 8000   8, 512   1, 512   1, 8000
//     this             107        112        32        103        99         7.4      5.5      15
//     bytes            87         87         22        87         85         2.7      0.3      5.3
// With the first chunks on their way to L2 before the wait, and with those of later chunks or other rows,
// 256 rows take 2 to 48 more; attention.cu over the same cache takes 360.

#ifndef HEAD
#define HEAD 64
#endif
#ifndef QUERIES
#define QUERIES 4
#endif
#ifndef BLOCK_WARPS
#define BLOCK_WARPS 8
#endif
#define BITS 16

#include "cmglu_numbers.h"

#include "attention_numbers.cu"
#include "attention_rotation.cu"
#include "attention_chunk.cu"
#include "attention_step.cu"
#include "attention_merge.cu"

constexpr int WARPS = BLOCK_WARPS, THREADS = WARPS * 32;
// Left alone, the compiler gives small heads too few registers; told of one block, it spills large ones'.
#if HEAD < 64
#define BOUNDS __launch_bounds__(THREADS, 1)
#else
#define BOUNDS __launch_bounds__(THREADS)
#endif

// A row of the launch and one of its key-value heads.
struct Row {
  int row, position, lowest, chunks, kv, first;  // chunks: up to the row's own; first query head
  const int *table;

  __device__ __forceinline__ Row(const Attention &a) {
    row = blockIdx.z, first = blockIdx.x * QUERIES;
    kv = blockIdx.x / (a.heads / a.kvHeads / QUERIES);
    position = a.positions[a.firstRow + row];
    lowest = a.lowest(position), chunks = position / BLOCK + 1;
    table = a.blockTables + (long long)a.slots[a.firstRow + row] * a.blocksPerSequence;
  }
  // The first chunk of a split that the row sees.
  __device__ __forceinline__ int first_chunk(int split) const {
    const int from = lowest / BLOCK;
    return from + ((split - from) & (SPLITS - 1));
  }

  // What the cache holds of a chunk is on its way to L2, unless the row does not see it.
  __device__ __forceinline__ void prefetch(const Attention &a, int chunk, int lane) const {
    if (chunk >= chunks) return;
    const long long at = a.at(table[chunk], kv);
    const int count = min(BLOCK, position - chunk * BLOCK);
    for (int line = lane; line * 64 < count * HEAD; line += 32) {
      asm volatile("prefetch.global.L2 [%0];" ::"l"(a.keys + at + line * 64));
      asm volatile("prefetch.global.L2 [%0];" ::"l"(a.values + at + line * 64));
    }
  }

  // Rotated queries to shared memory, and the row's own key and value to the cache.
  __device__ __forceinline__ void prepare(
      const Attention &a, Element (*queries)[HEAD], bool stores) const {
    const Number *own = a.qkv + (long long)(a.firstRow + row) * a.width();
    for (int item = threadIdx.x; item < QUERIES * HALF; item += THREADS) {
      const int q = item / HALF, i = item % HALF;
      const float2 pair = rotated_pair(a, own + (first + q) * HEAD, position, i);
      queries[q][low_of(i)] = to_element(pair.x), queries[q][high_of(i)] = to_element(pair.y);
    }
    if (stores)
      store_own(a, own, kv, position, table[chunks - 1], THREADS - 1 - threadIdx.x, THREADS);
    __syncthreads();
  }
  __device__ __forceinline__ Chunk attend(
      const Attention &a, const u32 (&query)[STEPS][2], int chunk, float factor, int lane) const {
    const long long at = a.at(table[chunk], kv);
    return attend_chunk(query, a.keys + at, a.values + at, lowest - chunk * BLOCK,
                        position + 1 - chunk * BLOCK, factor, lane);
  }
};

extern "C" __global__ void BOUNDS
attention_decode(const __grid_constant__ Attention a) {
  __shared__ __align__(16) Element queries[QUERIES][HEAD];
  __shared__ Found found[SPLITS][QUERIES];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const Row row(a);
  const float factor = a.scale * 1.44269504f;
  wait_for_input();
  row.prepare(a, queries, true);
  launch_dependents();
  u32 query[STEPS][2];
  load_query(query, queries[0], QUERIES, lane);

  for (int split = warp; split < SPLITS; split += WARPS) {
    Chunk all = {};
    all.largest[0] = all.largest[1] = NOTHING;
    for (int chunk = row.first_chunk(split); chunk < row.chunks; chunk += SPLITS)
      fold(all, row.attend(a, query, chunk, factor, lane), factor);
    leave(all, found[split], lane);
  }
  __syncthreads();
  Element *output = a.output + ((long long)(a.firstRow + row.row) * a.heads + row.first) * HEAD;
  for (int item = threadIdx.x; item < QUERIES * HEAD; item += THREADS) {
    const int q = item / HEAD;
    output[place_of(item)] = to_element(merged_value<SPLITS>(
        SPLITS, item % HEAD, factor, [&](int s, int which) { return found[s][q][which]; }));
  }
}

extern "C" __global__ void BOUNDS
attention_decode_splits(const __grid_constant__ Attention a) {
  constexpr int ITEMS = (QUERIES * HEAD + THREADS - 1) / THREADS;
  __shared__ __align__(16) Element queries[QUERIES][HEAD];
  __shared__ Found found[WARPS][QUERIES], merged[QUERIES];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, split = blockIdx.y;
  const Row row(a);
  const float factor = a.scale * 1.44269504f;
  const int first = row.first_chunk(split);
  row.prefetch(a, first + warp * SPLITS, lane);
  wait_for_input();
  row.prepare(a, queries, split == (row.chunks - 1) % SPLITS);
  launch_dependents();
  u32 query[STEPS][2];
  load_query(query, queries[0], QUERIES, lane);

  float largest[ITEMS], sum[ITEMS], value[ITEMS];
#pragma unroll
  for (int i = 0; i < ITEMS; i++) largest[i] = NOTHING, sum[i] = value[i] = 0.f;
  for (int from = first; from < row.chunks; from += WARPS * SPLITS) {
    const int chunk = from + warp * SPLITS;
    if (chunk < row.chunks) leave(row.attend(a, query, chunk, factor, lane), found[warp], lane);
    __syncthreads();
    fold_chunks<ITEMS>(found, min(WARPS, (row.chunks - from + SPLITS - 1) / SPLITS), factor,
                       threadIdx.x, THREADS, largest, sum, value);
    __syncthreads();
  }
#pragma unroll
  for (int n = 0; n < ITEMS; n++) {
    const int item = n * THREADS + threadIdx.x, q = item / HEAD, i = item % HEAD;
    if (item >= QUERIES * HEAD) break;
    merged[q][i] = value[n];
    if (i == 0) merged[q][HEAD] = largest[n], merged[q][HEAD + 1] = sum[n];
  }
  merge_splits(a, merged, row.row, row.first, factor, THREADS);
}
