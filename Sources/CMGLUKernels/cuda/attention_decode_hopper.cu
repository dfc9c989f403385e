// attention_decode_hopper: what attention_decode.cu computes, with the same bits, for few rows: an item, a row
// and the query heads of a key-value head, has a multiprocessor to itself.
//
// Problem   and layout as attention_decode.cu.
// Variants  HEAD 32, 64, 96 or 128; ROTARY, QUERIES, BF16, ROW_BITS and INTERLEAVED as there.
// Launch    `attention_decode_hopper`, blocks of THREADS threads, any number, and dynamic shared memory as
//           the kernel says (AttentionLaunch counts it). Compute capability 9.0. What must have been
//           written when it starts is what attention_decode.cu says.
//
// A warp has every eighth chunk, or every fourth, and copies of its next chunks of keys and values on their
// way to a ring of its own in shared memory: up to 192 KiB of a multiprocessor, the first of them before
// the kernel waits for queries. The row's own key and value, which the cache lacks, are put in there.
//
// Measured on an H100 (2026-11-26), 32 heads, 8 key-value heads, HEAD 64, FP16, microseconds:
//     rows, position       8, 512   16, 512   8, 8000   16, 8000   64, 512   256, 511   256, 512
//     this                 5.6      9.4       51        89         34        96         126
//     attention_decode.cu  7.3      10.6      69        99         36        107        128
// With more items than multiprocessors a block waits for the warp that has a chunk more, item after item: a
// step of 256 rows at position 512 takes 3.83 ms with it, and 3.61 with attention_decode.cu. Warps that
// take splits from a common list, merged by the one that finds the last, take 107 for 256 rows at 512,
// but gained nothing in a step (3.61), and 8.4 for 8 rows.

#ifndef HEAD
#define HEAD 64
#endif
#ifndef QUERIES
#define QUERIES 4
#endif
#define BITS 16

#include "cmglu_numbers.h"

#include "attention_numbers.cu"
#include "attention_rotation.cu"
#include "attention_chunk.cu"
#include "attention_step.cu"

constexpr int WARPS = HEAD > 64 ? 4 : 8, THREADS = WARPS * 32;
constexpr int CHUNK_BYTES = BLOCK * HEAD * 2;
constexpr int FOUND_BYTES = 2 * SPLITS * QUERIES * (HEAD + 2) * 4;
constexpr int QUERY_BYTES = 2 * QUERIES * HEAD * 2;
// Chunks of keys, or of values, that a warp has in shared memory or on their way there.
constexpr int STAGES = (227 * 1024 - FOUND_BYTES - QUERY_BYTES - 1024) / (WARPS * CHUNK_BYTES);
static_assert(STAGES >= 2, "keys and values");

__device__ __forceinline__ u32 shared_address(const void *p) {
  return (u32)__cvta_generic_to_shared(p);
}

__device__ __forceinline__ void barrier_wait(u32 barrier, u32 parity) {
  u32 done = 0;
  while (!done)
    asm volatile(
        "{ .reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
        : "=r"(done) : "r"(barrier), "r"(parity) : "memory");
}

// An item of the work of a block.
struct Item {
  int index, count, groups;
  int row, first, kv;
  int position, lowest, chunks;  // chunks: up to the row's own
  const int *table;
  int nextPosition, nextSlot;    // of the item that follows: on their way

  __device__ __forceinline__ Item(const Attention &a) {
    groups = a.heads / QUERIES, count = a.rows * groups;
    index = blockIdx.x;
    if (!exists()) return;
    look_ahead(a, index), take(a);
  }
  __device__ __forceinline__ bool exists() const { return index < count; }
  __device__ __forceinline__ void look_ahead(const Attention &a, int of) {
    const int its = a.firstRow + min(of, count - 1) / groups;
    nextPosition = a.positions[its], nextSlot = a.slots[its];
  }
  __device__ __forceinline__ void take(const Attention &a) {
    row = index / groups, first = index % groups * QUERIES;
    kv = index % groups / (groups / a.kvHeads);
    position = nextPosition, lowest = a.lowest(position), chunks = position / BLOCK + 1;
    table = a.blockTables + (long long)nextSlot * a.blocksPerSequence;
    look_ahead(a, index + gridDim.x);
  }
  __device__ __forceinline__ void next(const Attention &a) {
    index += gridDim.x;
    if (exists()) take(a);
  }
  // The first chunk of a split that the row sees.
  __device__ __forceinline__ int first_chunk(int split) const {
    const int from = lowest / BLOCK;
    return from + ((split - from) & (SPLITS - 1));
  }
  __device__ __forceinline__ const Number *qkv(const Attention &a) const {
    return a.qkv + (long long)(a.firstRow + row) * a.width();
  }
  // Rotated queries, for all warps.
  __device__ __forceinline__ void prepare(const Attention &a, Element (*queries)[HEAD]) const {
    const Number *own = qkv(a);
    for (int at = threadIdx.x; at < QUERIES * HALF; at += THREADS) {
      const int q = at / HALF, i = at % HALF;
      const float2 pair = rotated_pair(a, own + (first + q) * HEAD, position, i);
      queries[q][low_of(i)] = to_element(pair.x), queries[q][high_of(i)] = to_element(pair.y);
    }
  }
};

// A place in the ring of a warp.
struct Place {
  int stage = 0;
  u32 parity = 0;

  __device__ __forceinline__ void next() {
    if (++stage == STAGES) stage = 0, parity ^= 1;
  }
};

// Copies of a warp's chunks, in their order: what the cache holds of the keys of one, then of its values.
struct Filler {
  Item item;
  int split, chunk, block, warp;
  bool isValues = false;
  Place place;

  __device__ __forceinline__ Filler(const Attention &a, int warp) : item(a), warp(warp) {
    if (!item.exists()) return;
    split = warp, chunk = item.first_chunk(split);
    settle(a);
  }
  // To a chunk that there is, whose block is on its way.
  __device__ __forceinline__ void settle(const Attention &a) {
    while (chunk >= item.chunks) {
      if ((split += WARPS) >= SPLITS) {
        item.next(a), split = warp;
        if (!item.exists()) return;
      }
      chunk = item.first_chunk(split);
    }
    block = item.table[chunk];
  }
  // Starts the next copy, to the stage that was free first.
  __device__ __forceinline__ void fill(const Attention &a, u32 ring, u32 barriers, int lane) {
    if (!item.exists()) return;
    if (lane == 0) {
      const u32 barrier = barriers + place.stage * 8;
      const u32 bytes = max(0, min(BLOCK, item.position - chunk * BLOCK)) * HEAD * 2;
      const Element *from = (isValues ? a.values : a.keys) + a.at(block, item.kv);
      asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                   : "memory");
      if (bytes > 0)
        asm volatile(
            "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
                "r"(ring + place.stage * CHUNK_BYTES),
            "l"(from), "r"(bytes), "r"(barrier)
            : "memory");
    }
    place.next();
    if (isValues) chunk += SPLITS, settle(a);
    isValues = !isValues;
  }
};

// The row's own key, or value, to the chunk in shared memory and to the cache: of every block that reads
// it, the same bits, so that none waits for another.
template <bool isKey>
__device__ __forceinline__ void add_own(
    const Attention &a, const Item &item, Element *chunk, int block, int lane) {
  const Number *head = item.qkv(a) + (a.heads + (isKey ? 0 : a.kvHeads) + item.kv) * HEAD;
  const int at = item.position % BLOCK * HEAD;
  Element *cache = (isKey ? a.keys : a.values) + a.at(block, item.kv) + at;
  for (int i = lane; i < HALF; i += 32) {
    const float2 pair = isKey ? rotated_pair(a, head, item.position, i)
                              : make_float2(to_float(head[low_of(i)]), to_float(head[high_of(i)]));
    const Element low = to_element(pair.x), high = to_element(pair.y);
    chunk[at + low_of(i)] = cache[low_of(i)] = low;
    chunk[at + high_of(i)] = cache[high_of(i)] = high;
  }
  // Before the copy engine writes there again.
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncwarp();
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
attention_decode_hopper(const __grid_constant__ Attention a) {
#if __CUDA_ARCH__ == 900  // it is launched nowhere else
  extern __shared__ __align__(128) unsigned char memory[];
  // [ring WARPS][found 2][queries 2][barriers WARPS x STAGES]
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  unsigned char *ring = memory + warp * STAGES * CHUNK_BYTES;
  unsigned char *after = memory + WARPS * STAGES * CHUNK_BYTES;
  Found(*found)[SPLITS][QUERIES] = (Found(*)[SPLITS][QUERIES])after;
  Element(*queries)[QUERIES][HEAD] = (Element(*)[QUERIES][HEAD])(after + FOUND_BYTES);
  const u32 barriers = shared_address(after + FOUND_BYTES + QUERY_BYTES) + warp * STAGES * 8;
  if (lane < STAGES)
    asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(barriers + lane * 8) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  __syncwarp();

  Filler filler(a, warp);
  const auto fill = [&] { filler.fill(a, shared_address(ring), barriers, lane); };
#pragma unroll 1
  for (int stage = 0; stage < STAGES; stage++) fill();
  Item item(a);
  wait_for_input();
  launch_dependents();
  if (item.exists()) item.prepare(a, queries[0]);
  __syncthreads();

  const float factor = a.scale * 1.44269504f;
  Place place;
  for (int turn = 0; item.exists(); turn ^= 1) {
    u32 query[STEPS][2];
    load_query(query, queries[turn][0], QUERIES, lane);
    for (int split = warp; split < SPLITS; split += WARPS) {
      Chunk all = {};
      all.largest[0] = all.largest[1] = NOTHING;
      for (int chunk = item.first_chunk(split); chunk < item.chunks; chunk += SPLITS) {
        const bool isOwn = chunk == item.chunks - 1;
        const int block = isOwn ? item.table[chunk] : 0;
        const auto arrived = [&] {
          barrier_wait(barriers + place.stage * 8, place.parity);
          Element *there = (Element *)(ring + place.stage * CHUNK_BYTES);
          place.next();
          return there;
        };
        Element *keys = arrived();
        if (isOwn) add_own<true>(a, item, keys, block, lane);
        Element *values = (Element *)(ring + place.stage * CHUNK_BYTES);
        const auto between = [&] {
          __syncwarp();
          fill();
          arrived();
          if (isOwn) add_own<false>(a, item, values, block, lane);
        };
        const int first = item.lowest - chunk * BLOCK, last = item.position + 1 - chunk * BLOCK;
        fold(all,
             first <= 0 && last >= BLOCK
                 ? attend_chunk<true>(query, keys, values, first, last, factor, lane, between)
                 : attend_chunk<false>(query, keys, values, first, last, factor, lane, between),
             factor);
        __syncwarp();
        fill();
      }
      leave(all, found[turn][split], lane);
    }
    Element *output = a.output + ((long long)(a.firstRow + item.row) * a.heads + item.first) * HEAD;
    item.next(a);
    if (item.exists()) item.prepare(a, queries[turn ^ 1]);
    __syncthreads();
    for (int at = threadIdx.x; at < QUERIES * HEAD; at += THREADS) {
      const int q = at / HEAD;
      output[place_of(at)] = to_element(merged_value<SPLITS>(
          SPLITS, at % HEAD, factor, [&](int s, int which) { return found[turn][s][q][which]; }));
    }
  }
#endif
}
