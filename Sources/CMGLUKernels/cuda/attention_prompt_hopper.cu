// attention_prompt_hopper: attention_prompt.cu for Hopper (sm_90a), with wgmma.
//
// Problem, layout   as in attention_prompt.cu.
// Variants  HEAD 64 or 128; BF16, ROW_BITS and INTERLEAVED as there; HEADS 1 or 2, the query heads of a block,
//           which share a key-value head (1, unless given).
// Launch    grid (heads / HEADS, tiles), THREADS threads, dynamic shared memory of 1024
//           + (2 HEADS + 2 STAGES) 128 HEAD + 16 STAGES bytes.
//
// A warpgroup has 64 rows of one head; a block has a tile's 128 rows, for HEADS heads. One more warpgroup
// copies keys and values, a block of the cache at a time, into a ring of swizzled tiles. Scores of the next
// keys and sums of values of these are products under way together; while the tensor cores sum
// values, the warpgroup weighs the next scores, and other warpgroups whatever they have.
//
// Measured on an H100 (2026-11-26), 32 heads, 8 key-value heads, HEAD 64, FP16, TFLOP/s of what causal rows
// need, and those of PyTorch 2.11 (keys and values for every head) in the same run:
//                                 HEADS 2   HEADS 1   PyTorch
//     2048                            334       256       284
//     8192                            436       325       434
//     2048 after 6144 others          435       337       271
//     HEAD 128, 16 heads, 8192                  498
// Six stages in place of eight 425, four 413. What bounds it: 64 keys of 64 rows cost 256 cycles of products
// and as many of exponentials.

#ifndef HEAD
#define HEAD 64
#endif
#ifndef HEADS
#define HEADS 1
#endif
#define BITS 16

#include "cmglu_numbers.h"

#include "attention_numbers.cu"
#include "attention_rotation.cu"
#include "attention_step.cu"
#include "attention_softmax.cu"

typedef unsigned long long u64;

constexpr int GROUPS = 2 * HEADS;  // of warps
constexpr int PANELS = HEAD / 64;  // of 64 elements of a head, 64 rows each
constexpr int PANEL_BYTES = 64 * 128;
constexpr int TILE_BYTES = PANELS * PANEL_BYTES;
constexpr int THREADS = GROUPS * 128 + 128;
constexpr int STAGES = HEAD == 64 ? 8 : 5;
constexpr int LAG = STAGES / 2;  // copies of a stage under way
// [queries GROUPS][stages of keys and values][barriers of each stage: full, empty], from a multiple of 1024 on
static_assert(1024 + (GROUPS + 2 * STAGES) * TILE_BYTES + STAGES * 16 <= 227 << 10, "there is room");

__device__ __forceinline__ bool is_complete(u32 barrier, u32 parity) {
  u32 done;
  asm volatile(
      "{ .reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
      : "=r"(done) : "r"(barrier), "r"(parity) : "memory");
  return done;
}
__device__ __forceinline__ void barrier_wait(u32 barrier, u32 parity) {
  while (!is_complete(barrier, parity)) {
  }
}
__device__ __forceinline__ void barrier_arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// Written memory is seen by what tensor cores read.
__device__ __forceinline__ void fence_writes() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Where 16 bytes of a row of a tile lie, swizzled by 128 bytes.
__device__ __forceinline__ u32 place(int row, int piece) {
  return piece / 8 * PANEL_BYTES + row * 128 + ((piece % 8) ^ (row & 7)) * 16;
}

// A tile as wgmma's operand: rows of 128 swizzled bytes, eight of them 1024 bytes from the next.
__device__ __forceinline__ u64 describe(u32 address) {
  return (u64)1 << 62 | (u64)(1024 >> 4) << 32 | (u64)1 << 16 | (address & 0x3ffff) >> 4;
}

#if BF16
#define WGMMA "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
#else
#define WGMMA "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
#endif
#define SUMS(d)                                                                                     \
  "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]),        \
      "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]),    \
      "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]),    \
      "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]),    \
      "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]),    \
      "+f"(d[7][2]), "+f"(d[7][3])
#define REGISTERS                                                                                   \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, " \
  "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"

// d (+)= a b^T for 16 elements of 64 rows of each.
__device__ __forceinline__ void multiply_async(float (&d)[KEYS][4], u64 a, u64 b, int adds) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %34, 0;\n" WGMMA REGISTERS
               ", %32, %33, p, 1, 1, 0, 0; }"
               : SUMS(d) : "l"(a), "l"(b), "r"(adds));
}
// d += a b for 16 columns of a, in registers, and 16 rows of b.
__device__ __forceinline__ void add_async(float (&d)[8][4], const u32 (&a)[4], u64 b) {
  asm volatile(WGMMA REGISTERS ", {%32, %33, %34, %35}, %36, 1, 1, 1, 1;"
               : SUMS(d) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}
__device__ __forceinline__ void fence_registers() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int COUNT> __device__ __forceinline__ void wait_groups() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(COUNT) : "memory");
}

// A place in the ring.
struct Stage {
  int stage = 0;
  u32 parity = 0;
  __device__ __forceinline__ void next() {
    if (++stage == STAGES) stage = 0, parity ^= 1;
  }
};

// Copies keys and values of blocks from...<to of the cache, of which positions from `end` on become zeros.
__device__ __forceinline__ void fill_ring(
    const Attention &a, const int *table, int kv, int from, int to, int end, u32 stages, u32 full,
    u32 empty) {
  const int thread = threadIdx.x % 128;
  Stage filled, arrived;
  int block = table[from];
  const auto arrive = [&] {
    fence_writes();
    barrier_arrive(full + arrived.stage * 8);
    arrived.next();
  };
  for (int chunk = from; chunk < to; chunk++, filled.next()) {
    const int next = table[min(chunk + 1, to - 1)], count = end - chunk * BLOCK;
    const long long at = a.at(block, kv);
    const u32 target = stages + filled.stage * 2 * TILE_BYTES;
    barrier_wait(empty + filled.stage * 8, filled.parity ^ 1);
#pragma unroll
    for (int i = 0; i < BLOCK * HEAD / 8 / 128; i++) {
      const int piece = i * 128 + thread, row = piece / (HEAD / 8);
      const u32 to = target + place(row, piece % (HEAD / 8));
      const int bytes = row < count ? 16 : 0;
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to),
                   "l"(a.keys + at + piece * 8), "r"(bytes) : "memory");
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to + TILE_BYTES),
                   "l"(a.values + at + piece * 8), "r"(bytes) : "memory");
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
    if (chunk - from >= LAG) {
      asm volatile("cp.async.wait_group %0;" ::"n"(LAG) : "memory");
      arrive();
    }
    block = next;
  }
  asm volatile("cp.async.wait_group 0;" ::: "memory");
  for (int i = 0; i < min(LAG, to - from); i++) arrive();
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
attention_prompt_hopper(const __grid_constant__ Attention a) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL  // it is launched nowhere else
  extern __shared__ unsigned char memory[];
  const u32 queries = ((u32)__cvta_generic_to_shared(memory) + 1023) & ~1023u;
  const u32 stages = queries + GROUPS * TILE_BYTES;
  const u32 full = stages + STAGES * 2 * TILE_BYTES, empty = full + STAGES * 8;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < STAGES; stage++) {
      asm volatile("mbarrier.init.shared.b64 [%0], 128;" ::"r"(full + stage * 8) : "memory");
      asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(empty + stage * 8), "n"(GROUPS * 4)
                   : "memory");
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  wait_for_input();
  launch_dependents();
  const int4 tile = ((const int4 *)a.tiles)[gridDim.y - 1 - blockIdx.y];
  const int rows = tile.y, start = tile.w, end = start + rows;
  const int from = a.lowest(start) / BLOCK, to = (end - 1) / BLOCK + 1;
  if (warp >= GROUPS * 4) {
    if (HEADS == 2) asm volatile("setmaxnreg.dec.sync.aligned.u32 32;");
    const int *table = a.blockTables + (long long)tile.z * a.blocksPerSequence;
    const int kv = blockIdx.x * HEADS / (a.heads / a.kvHeads);
    fill_ring(a, table, kv, from, to, end, stages, full, empty);
    return;
  }
  if (HEADS == 2) asm volatile("setmaxnreg.inc.sync.aligned.u32 112;");

  // This warpgroup's head and rows, this lane's first one.
  const int group = warp / 4, head = blockIdx.x * HEADS + group / 2, base = group % 2 * 64;
  const int own = base + warp % 4 * 16 + lane / 4;
  const int lowest = start + base + warp % 4 * 16, highest = min(lowest + 16, end) - 1;
  const int last = base < rows ? (min(start + base + 64, end) - 1) / BLOCK + 1 : from;
  const u32 query = queries + group * TILE_BYTES;
  for (int i = threadIdx.x % 128; i < 64 * HEAD / 8; i += 128) {
    const int row = i / (HEAD / 8), piece = i % (HEAD / 8);
    const Element *x = a.queries(tile.x + min(base + row, rows - 1), head);
    const uint4 value = *(const uint4 *)(x + piece * 8);
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(query + place(row, piece)),
                 "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w) : "memory");
  }
  fence_writes();
  asm volatile("bar.sync %0, 128;" ::"r"(1 + group) : "memory");

  const float factor = a.scale * 1.44269504f;
  float score[1][KEYS][4], value[PANELS][1][8][4] = {}, factors[1][2];
  u32 weights[KEYS / 2][4];
  Softmax<1> softmax;
  Stage stage, before;
  const auto multiply_keys = [&] {
    const u32 keys = stages + stage.stage * 2 * TILE_BYTES;
#pragma unroll
    for (int k = 0; k < HEAD / 16; k++)
      multiply_async(score[0], describe(query + k / 4 * PANEL_BYTES) + k % 4 * 2,
                     describe(keys + k / 4 * PANEL_BYTES) + k % 4 * 2, k > 0);
    commit();
  };
  const auto add_values = [&] {
    const u32 values = stages + before.stage * 2 * TILE_BYTES + TILE_BYTES;
#pragma unroll
    for (int k = 0; k < BLOCK / 16; k++)
#pragma unroll
      for (int panel = 0; panel < PANELS; panel++)
        add_async(value[panel][0], weights[k], describe(values + panel * PANEL_BYTES) + k * (2048 >> 4));
    commit();
  };
  // Weighs the scores of a chunk while the values of the one before are added.
  const auto weigh = [&](int chunk) {
    const int begin = chunk * BLOCK;
    if (begin + BLOCK - 1 > lowest || begin < a.lowest(highest))
      softmax.mask(a, score, start + own, begin, lane);
    return softmax.weigh(score, factor, factors);
  };
  const auto take_weights = [&](bool grows) {
    if (grows)
#pragma unroll
      for (int panel = 0; panel < PANELS; panel++) rescale(value[panel], factors);
#pragma unroll
    for (int k = 0; k < KEYS / 2; k++)
#pragma unroll
      for (int i = 0; i < 4; i++)
        weights[k][i] = narrow(score[0][2 * k + i / 2][i % 2 * 2], score[0][2 * k + i / 2][i % 2 * 2 + 1]);
  };

  if (from < last) {
    barrier_wait(full + stage.stage * 8, stage.parity);
    fence_registers();
    multiply_keys();
    wait_groups<0>();
    bool grows = weigh(from);
    take_weights(grows);
    for (int chunk = from + 1; chunk < last; chunk++) {
      stage.next();
      barrier_wait(full + stage.stage * 8, stage.parity);
      fence_registers();
      multiply_keys();
      add_values();
      wait_groups<1>();
      grows = weigh(chunk);
      wait_groups<0>();
      if (lane == 0) barrier_arrive(empty + before.stage * 8);
      before.next();
      take_weights(grows);
    }
    fence_registers();
    add_values();
    wait_groups<0>();
    if (lane == 0) barrier_arrive(empty + before.stage * 8);
    before.next();
  }
  // Keys that only other warpgroups see.
  for (int chunk = last; chunk < to; chunk++, before.next()) {
    barrier_wait(full + before.stage * 8, before.parity);
    if (lane == 0) barrier_arrive(empty + before.stage * 8);
  }

#pragma unroll
  for (int half = 0; half < 2; half++) {
    const float inverse = softmax.inverse(0, half);
    const int row = own + half * 8;
    Element *y = a.output + ((long long)(tile.x + row) * a.heads + head) * HEAD;
    if (row < rows)
#pragma unroll
      for (int columns = 0; columns < HEAD / 32; columns++) {
        u32 pairs[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const float(&pair)[4] = value[columns / 2][0][columns % 2 * 4 + i];
          pairs[i] = narrow(pair[2 * half] * inverse, pair[2 * half + 1] * inverse);
        }
        leave_columns(y + columns * 32, pairs, lane);
      }
  }
#endif
}
