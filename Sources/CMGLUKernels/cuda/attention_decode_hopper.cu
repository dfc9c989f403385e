// attention_decode_hopper: what attention_decode.cu computes, with the same bits. An item, a row and the query
// heads of a key-value head, has the warps of a multiprocessor to itself where rows are few or it is long;
// others have a team of them.
//
// Problem   and layout as attention_decode.cu.
// Variants  HEAD 32, 64, 96 or 128; ROTARY, QUERIES, BF16, ROW_BITS and INTERLEAVED as there; BLOCK_WARPS 2, 4
//           or 8; HELD, the items at a time for whose queries and findings a block has room: BLOCK_WARPS
//           where items may have teams, or 2.
// Launch    `attention_decode_hopper`, blocks of 32 BLOCK_WARPS threads, any number, and dynamic shared
//           memory as the kernel says (AttentionLaunch counts it). Compute capability 9.0. What must have
//           been written when it starts is what attention_decode.cu says.
//
// A warp has splits of its item, and copies of its next chunks of keys and values on their way to a ring of its
// own in shared memory: up to 192 KiB of a multiprocessor, the first of them before the kernel waits for
// queries. The row's own key and value, which the cache lacks, are put in there. Teams never wait for
// each other, so that none has to have as many chunks as another.
//
// Measured on an H100 (2026-11-27), 32 heads, 8 key-value heads, HEAD 64, FP16, launches one after the other
// over four caches, microseconds and those of the cache's bytes at 3.09 TB/s:
//     rows, position       8, 512   16, 512   32, 512   64, 512   128, 512   256, 512   256, 530   256, 2000
//     this                 6.5      10.7      14.6      26.8      51         97         99         351
//     attention_decode.cu  7.7      11.7      18        31        58         104        124        357
//     bytes                2.7      5.4       10.9      21.8      43.5       87         90         340
// With all warps of a block at each of many items, it waits for the one that has a chunk more: 132 for 256
// rows at 512. Teams of one warp take 102, and a long row keeps one of them busy after the others are done.
// 8 and 16 rows were measured with what finds teams compiled in; without it they take 5.9 and 9.1 on an H200.

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

#ifndef BLOCK_WARPS
#define BLOCK_WARPS 8
#endif
#ifndef HELD
#define HELD 2
#endif

constexpr int WARPS = BLOCK_WARPS, THREADS = WARPS * 32;
constexpr bool HAS_TEAMS = HELD > 2;  // or all warps share every item
constexpr int CHUNK_BYTES = BLOCK * HEAD * 2;
constexpr int FOUND_BYTES = HELD * SPLITS * QUERIES * (HEAD + 2) * 4;
constexpr int QUERY_BYTES = HELD * QUERIES * HEAD * 2;
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

// An item of the work of a warp: first those that all warps of the block share, then those of its team.
struct Item {
  int count, groups;               // of all rows, and of one
  int place, from;                 // of the block's items, and of those 32 of which a lane knows one
  int lanePosition, laneSlot;
  u32 longOnes;                    // of the 32: those that all warps share
  int warp, warps;                 // of the item's: this one, and how many
  bool isShared;
  int row, first, kv;
  int position, lowest, chunks;    // chunks: up to the row's own
  const int *table;

  __device__ __forceinline__ Item(const Attention &a) {
    groups = a.heads / QUERIES, count = a.rows * groups;
    isShared = true, place = -1, from = -32;
    next(a);
  }
  __device__ __forceinline__ int index(int place) const { return blockIdx.x + place * gridDim.x; }
  __device__ __forceinline__ bool exists() const { return index(place) < count; }
  // Looks at the 32 of the block's items among which `place` is.
  __device__ __forceinline__ void look(const Attention &a) {
    if (place - from < 32 && place >= from) return;
    from = place & ~31;
    const int its = index(from + (threadIdx.x & 31)), row = a.firstRow + min(its, count - 1) / groups;
    lanePosition = a.positions[row], laneSlot = a.slots[row];
    if (!HAS_TEAMS) return;
    const int chunks = lanePosition / BLOCK - a.lowest(lanePosition) / BLOCK + 1;
    longOnes = __ballot_sync(~0u, chunks > a.longest);
  }
  __device__ __forceinline__ bool is_long() const {
    return !HAS_TEAMS || longOnes >> (place - from) & 1;
  }
  // To the item that follows, if there is one.
  __device__ __forceinline__ void next(const Attention &a) {
    const int own = threadIdx.x / 32;
    if (isShared) {
      for (place++; exists(); place++) {
        look(a);
        if (is_long()) return take(a, own, WARPS);
      }
      if (!HAS_TEAMS) return;
      isShared = false, place = own / a.team - WARPS / a.team;
    }
    for (place += WARPS / a.team; exists(); place += WARPS / a.team) {
      look(a);
      if (!is_long()) return take(a, own % a.team, a.team);
    }
  }
  __device__ __forceinline__ void take(const Attention &a, int itsWarp, int itsWarps) {
    warp = itsWarp, warps = HAS_TEAMS ? itsWarps : WARPS;
    const int at = index(place);
    row = at / groups, first = at % groups * QUERIES, kv = at % groups / (groups / a.kvHeads);
    position = __shfl_sync(~0u, lanePosition, place - from);
    lowest = a.lowest(position), chunks = position / BLOCK + 1;
    table = a.blockTables +
            (long long)__shfl_sync(~0u, laneSlot, place - from) * a.blocksPerSequence;
  }
  // Where its queries are, and what its warps find, of HELD: in turns, because warps may be at the next
  // item while others are not done with this.
  __device__ __forceinline__ int held(int turn) const {
    return (isShared ? 0 : threadIdx.x / 32 / warps * 2) + turn;
  }
  // Waits for its other warps.
  __device__ __forceinline__ void meet() const {
    asm volatile("bar.sync %0, %1;" ::"r"(isShared ? 0 : 1 + threadIdx.x / 32 / warps),
                 "r"(warps * 32) : "memory");
  }
  __device__ __forceinline__ int thread() const { return warp * 32 + (threadIdx.x & 31); }
  // The first chunk of a split that the row sees.
  __device__ __forceinline__ int first_chunk(int split) const {
    const int from = lowest / BLOCK;
    return from + ((split - from) & (SPLITS - 1));
  }
  __device__ __forceinline__ const Number *qkv(const Attention &a) const {
    return a.qkv + (long long)(a.firstRow + row) * a.width();
  }
  // Rotated queries, for all its warps.
  __device__ __forceinline__ void prepare(const Attention &a, Element (*queries)[HEAD]) const {
    const Number *own = qkv(a);
    for (int at = thread(); at < QUERIES * HALF; at += warps * 32) {
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
  int split, chunk, block;
  bool isValues = false;
  Place place;

  __device__ __forceinline__ Filler(const Attention &a) : item(a) {
    if (!item.exists()) return;
    split = item.warp, chunk = item.first_chunk(split);
    settle(a);
  }
  // To a chunk that there is, whose block is on its way.
  __device__ __forceinline__ void settle(const Attention &a) {
    while (chunk >= item.chunks) {
      if ((split += item.warps) >= SPLITS) {
        item.next(a);
        if (!item.exists()) return;
        split = item.warp;
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
  // [ring WARPS][found HELD][queries HELD][barriers WARPS x STAGES]
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

  Filler filler(a);
  const auto fill = [&] { filler.fill(a, shared_address(ring), barriers, lane); };
#pragma unroll 1
  for (int stage = 0; stage < STAGES; stage++) fill();
  Item item(a);
  wait_for_input();
  launch_dependents();
  int turn = 0;
  if (item.exists()) item.prepare(a, queries[item.held(0)]), item.meet();

  const float factor = a.scale * 1.44269504f;
  Place place;
  while (item.exists()) {
    const int held = item.held(turn);
    u32 query[STEPS][2];
    load_query(query, queries[held][0], QUERIES, lane);
#pragma unroll 1
    for (int split = item.warp; split < SPLITS; split += item.warps) {
      Chunk all = {};
      all.largest[0] = all.largest[1] = NOTHING;
#pragma unroll 1
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
      leave(all, found[held][split], lane);
    }
    const Item done = item;
    item.next(a);
    // Where the teams' queries are, other warps may still read those of the last item that all share.
    const bool isFirstOfTeam = HAS_TEAMS && done.isShared && !item.isShared;
    turn ^= 1;
    if (item.exists() && !isFirstOfTeam) item.prepare(a, queries[item.held(turn)]);
    done.meet();
    Element *output = a.output + ((long long)(a.firstRow + done.row) * a.heads + done.first) * HEAD;
    for (int at = done.thread(); at < QUERIES * HEAD; at += done.warps * 32) {
      const int q = at / HEAD;
      output[place_of(at)] = to_element(merged_value<SPLITS>(
          SPLITS, at % HEAD, factor, [&](int s, int which) { return found[held][s][q][which]; }));
    }
    if (isFirstOfTeam) {
      __syncthreads();
      if (item.exists()) item.prepare(a, queries[item.held(turn)]), item.meet();
    }
  }
#endif
}
