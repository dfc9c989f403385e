// attention: rows over a cache of keys and values in blocks, in float32, for caches of float32 and for
// heads that the tensor cores' kernels (attention_decode.cu, attention_prompt.cu) do not take.
//
// Problem   For each row r at position p = positions[r] of the sequence in slots[r], and each query head:
//           attend to the last `window` positions of 0...p. Softmax in float32, online. A row that
//           decodes has its queries and key rotated, and its key and value stored, first; for rows of
//           prompts attention_store.cu has done so.
// Layout    attention_step.cu.
// Variants  HEAD, the elements of a head; ROTARY, the first of them that are rotated (all, unless
//           given); QUERIES, the query heads that a block serves from one reading of their key-value
//           head, a divisor of heads / kvHeads; BITS and BF16, the type of cache and output, and ROW_BITS
//           of qkv (the same, unless given).
// Launch    grid (heads / QUERIES, splits, rows), 256 threads. Splits are 8 for rows that decode, a
//           cluster (1, 8, 1) from Hopper on, and 1 for rows of prompts. Positions, slots, tables and
//           what the cache holds of positions before a decoding row must have been written by kernels that
//           were done when this one started: they are read before it waits for the one that computes qkv.
//
// Measured on an H100 in a step of 32 heads, 8 key-value heads, HEAD 64, position 512, with a cache in one
// piece (2026-11-24): 7.6 us from the end of the kernel before to its own; with splits added up
// through memory by the last block, and the cache read after the wait, 13 us.

#ifndef HEAD
#define HEAD 64
#endif
#ifndef QUERIES
#define QUERIES 4
#endif

// Points of a block's life, which Benchmarks/cuda/step_timeline.cu takes the time of.
#ifndef MARK
#define MARK(point)
#endif

#include "cmglu_numbers.h"

#include "attention_numbers.cu"
#include "attention_rotation.cu"
#include "attention_rows.cu"
#include "attention_step.cu"
#include "attention_merge.cu"

extern "C" __global__ void __launch_bounds__(WARPS * 32, 1)
attention(const __grid_constant__ Attention a) {
  __shared__ float shared[WARPS][QUERIES][HEAD + 2];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int kv = blockIdx.x / (a.heads / a.kvHeads / QUERIES), first = blockIdx.x * QUERIES;
  const int split = blockIdx.y, splits = gridDim.y, row = a.firstRow + blockIdx.z;
  MARK(0);
  const int position = a.positions[row], lowest = a.lowest(position), chunks = position / BLOCK + 1;
  const int *table = a.blockTables + (long long)a.slots[row] * a.blocksPerSequence;
  int chunk = lowest / BLOCK + (split - lowest / BLOCK % splits + splits) % splits;
  // What a decoding row's cache holds of the first chunk, on its way to L2.
  if (a.decodes && chunk < chunks) {
    const long long at = a.at(table[chunk], kv);
    for (int i = threadIdx.x * 32; i < min(BLOCK, position - chunk * BLOCK) * HEAD; i += WARPS * 32 * 32) {
      asm volatile("prefetch.global.L2 [%0];" ::"l"(a.keys + at + i));
      asm volatile("prefetch.global.L2 [%0];" ::"l"(a.values + at + i));
    }
  }
  MARK(1);
  wait_for_input();
  MARK(2);
  const Number *own = a.qkv + (long long)row * a.width();
  if (a.decodes) {
    if (split == (chunks - 1) % splits)
      store_own(a, own, kv, position, table[chunks - 1], threadIdx.x, WARPS * 32);
    __syncthreads();
  }

  // exp(scale x) as 2^x: the factor goes into the queries.
  float query[QUERIES][PAIRS][2];
#pragma unroll
  for (int q = 0; q < QUERIES; q++)
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++) {
      const int i = pair * 32 + lane;
      float2 both = make_float2(0.f, 0.f);
      const Element *rotated = a.queries(row, first + q);
      if (i < HALF)
        both = a.decodes ? rotated_pair(a, own + (first + q) * HEAD, position, i)
                         : make_float2(to_float(rotated[low_of(i)]), to_float(rotated[high_of(i)]));
      query[q][pair][0] = rounded(both.x) * (a.scale * 1.44269504f);
      query[q][pair][1] = rounded(both.y) * (a.scale * 1.44269504f);
    }
  Running running[QUERIES];
  clear(running);
  MARK(3);
  // Not before this block has its queries: the copies of the next kernel would be in their way.
  launch_dependents();
  for (; chunk < chunks; chunk += splits) {
    const long long at = a.at(table[chunk], kv) - (long long)chunk * BLOCK * HEAD;
    const int to = min(position + 1, (chunk + 1) * BLOCK);
    for (int j = max(lowest, chunk * BLOCK) + warp * AHEAD; j < to; j += ROUND) {
      KeyValue rows[AHEAD];
#pragma unroll
      for (int ahead = 0; ahead < AHEAD; ahead++) {
        const long long from = at + (long long)min(j + ahead, to - 1) * HEAD;
        load_pairs(a.keys + from, lane, rows[ahead].key);
        load_pairs(a.values + from, lane, rows[ahead].value);
      }
      add_rows(running, query, rows, to - j);
    }
  }

  leave(running, shared[warp], lane);
  __syncthreads();
  Element *output = a.output + ((long long)row * a.heads + first) * HEAD;
  // What this block found, of all its warps.
  __shared__ float merged[QUERIES][HEAD + 2];
  for (int item = threadIdx.x; item < QUERIES * HEAD; item += WARPS * 32) {
    const int q = item / HEAD, i = item % HEAD;
    float largest, sum;
    const float value = merge(shared, q, i, largest, sum);
    merged[q][i] = value;
    if (i == 0) merged[q][HEAD] = largest, merged[q][HEAD + 1] = sum;
    if (splits == 1) output[item] = to_element(__fdiv_rn(value, sum));
  }
  MARK(4);
  if (splits > 1) merge_splits(a, merged, blockIdx.z, first, 1.f, WARPS * 32);
  MARK(5);
}
