// fused_linear_batch_wide: what fused_linear.cu computes, for steps of many rows on Hopper (sm_90a), through
// wgmma. Each row gets the bits that it has alone, in fused_linear.cu and in fused_linear_batch.cu.
//
// Those kernels add up eight slices of the sum, every eighth cell to a slice, in their order; and a chain of
// products of wgmma has the bits of a chain of mma.m16n8k16. Here two warpgroups walk slice after slice: sums
// of a slice are wgmma's, and are added to those of all slices in registers. W is the operand in registers, as
// in fused_linear_prompt.cu, where masks flip signs; x is in shared memory.
//
// x. Rows of 16 bits, interleaved (fused_linear_input.cu): words of a lane of mma.m16n8k16 are not neighbors
// for wgmma, which takes 16 columns of x in their order. `stage` of fused_linear.cu, attention and the units
// before a projection leave rows so, and the copy engine brings 64 columns as they are, swizzled.
//
// Work. An item is rows of W by GROUP rows of x: 128 rows of W by COLUMNS, or, ACROSS 2, 64 by two times COLUMNS,
// half of them to each warpgroup. Further warps fill the ring of stages (fused_linear_batch_ring.cu). Where
// items are few, SPLIT blocks of a cluster share one: each has some slices, keeps their sums apart, and at
// the end they exchange them through distributed shared memory, in the place of the ring, so that every block
// adds up the slices of its columns in order.
//
// Variants MASKS, PLANES, BF16, ACTIVATION, GATING, OUTPUT as fused_linear_batch.cu; INTERLEAVED, the order of
//          16-bit outputs; COLUMNS 16...128, of which (n_m + 1, two of a GLU) COLUMNS is at most 160;
//          ACROSS 1 or 2; SPLIT 1, 2 or 4. Inputs of one piece.
// Launch   blocks of 384 threads: with SPLIT 1 any number, else SPLIT for each item. Compute capability 9.0.
//
// Measured on an H100 (2026-11-27, FP16, cold weights, graph replay), microseconds; in brackets those of
// fused_linear_batch.cu (2026-11-26) and of torch.matmul with W, or with gate and value in one, in the same run:
//     rows                      32               64               128                256          bytes
//     3072 x 2048         8.1 ( 8.3,  7.5)   9.5 ( 9.8,  7.6)  10.0 (12.2,  7.9)   12.0 (17.9,  9.2)    4.1
//     2048 x 2048, adds   6.9 ( 7.0,  6.6)   8.3 ( 8.6,  6.6)  10.0 (10.9,  6.7)   11.0 (13.7,  7.6)    2.7
//     2048 x 8192, adds  17.0 (18.2, 17.0)  18.4 (19.7, 17.7)  21.3 (24.5, 18.9)   27.5 (36.9, 21.7)   10.9
//     SwiGLU 8192 x 2048 23.2 (24.6, 26.6)  23.6 (26.1, 27.7)  25.7 (30.3, 29.1)   40.2 (52.8, 32.8)   21.7
//     n_m = 1            15.8 (16.0)        16.9 (19.7)        20.5 (28.5)         37.0 (52.2)         11.5
//     n_m = 4            23.2 (23.9)        27.3 (34.8)        49.7 (63.8)         96.8 (124)          13.6
//     50257 x 2048       77   (77)          82   (80)         104   (97)          157   (181)          66.6
// (the last of 2026-11-26, rows of logits that are not aligned): up to 460 TFLOP/s of executed products. Every
// item reads its rows of W and of x: at 256 rows the tensor cores are busy for 43 % of the time, L2 for 63,
// memory for 53, and warps issue in 35 to 47 %, so none of them is the bound by itself; registers hold the
// sums twice, which makes items half as large as those of fused_linear_prompt.cu. A cell of an item with
// short sums takes 400 cycles at least, from its arrival to its last product.
// Nothing came of copies of W to all blocks of a cluster of 2 or 4 (SwiGLU, 256 rows: 73 and more), of clusters
// of 8 (2048 x 8192: 19 for half of it, but an H100 of 132 multiprocessors has room for 15 of them, not
// 16, and for 30 of 4), of one step of wgmma or all masks to a group of products (1 % either way), and of
// 160 rows of x to an item (45).

#ifndef ACTIVATION
#define ACTIVATION CMGLU_IDENTITY
#endif
#ifndef GATING
#define GATING CMGLU_LINEAR
#endif
#ifndef OUTPUT
#define OUTPUT CMGLU_F32
#endif
#ifndef INTERLEAVED
#define INTERLEAVED 0
#endif
#ifndef COLUMNS
#define COLUMNS 64
#endif
#ifndef ACROSS
#define ACROSS 1
#endif
#ifndef SPLIT
#define SPLIT 1
#endif

#include "cmglu_numbers.h"
#include "fused_linear_unit.cu"
#include "fused_linear_wgmma.cu"

constexpr int GROUPS = 2;                      // warpgroups that multiply
constexpr int CELL_ROWS = 4 * GROUPS / ACROSS;  // rows of cells of an item
constexpr int GROUP = ACROSS * COLUMNS;         // its rows of x
constexpr int X_BYTES = GROUP * 128;
constexpr int W_BYTES = CELL_ROWS * CELL_BYTES;
constexpr int STAGE_BYTES = X_BYTES + W_BYTES;
static_assert(WARPS == GROUPS * 4, "warps of warpgroups");

#include "fused_linear_batch_output.cu"
#include "fused_linear_batch_ring.cu"

constexpr int OWN_SLICES = SLICES / SPLIT;
constexpr bool HOLDS = SPLIT > 1 && OWN_SLICES > 1;  // sums of slices, one by one
// Columns of a warpgroup's results that a block has: of a cluster that shares slices each has some.
constexpr int OWNED = COLUMNS / SPLIT;
static_assert(OWNED % 8 == 0, "whole tiles of the sums");
// Rows of x whose results a warpgroup writes at a time, and the distance between them in floats: four
// banks more than whole ones.
constexpr int CHUNK = OWNED % 32 == 0 ? 32 : OWNED % 16 == 0 ? 16 : 8;
constexpr int PITCH = 64 + 4;
// Masks whose products are a group of wgmma, and such groups of as many steps of 16 columns of W.
#ifndef OF_WAVE
#define OF_WAVE (MASKS < 2 ? 1 : 2)
#endif
#ifndef STEPS
#define STEPS (MASKS < 2 ? 2 : 1)
#endif
constexpr int WAVES = MASKS < 2 ? 1 : (MASKS + OF_WAVE - 1) / OF_WAVE;

// The thread that fills in x: a stage is a box of 64 columns of GROUP rows, swizzled by 128 bytes.
__device__ __forceinline__ void fill_input(
    const FusedLinear &f, const TensorMap &map, u32 memory, const Barriers &barriers) {
  prefetch_map(map);
  wait_for_input();
  Place place;
  for_cells(f, cluster_rank(), [&](int, int group, int, int cell) {
    barrier_wait(barriers.empty + place.stage * 8, place.turn);
    const u32 barrier = barriers.full + place.stage * 8;
    expect(barrier, STAGE_BYTES);
    copy_rows(memory + place.stage * X_BYTES, map, cell * 64, group * GROUP, 0, barrier);
    place.next(f.stages);
  });
}

__device__ __forceinline__ void cluster_arrive() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}

__device__ __forceinline__ void cluster_wait() {
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// A stage is free.
__device__ __forceinline__ void release(u32 barrier, int lane) {
  if (lane == 0) asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// Leaves a warpgroup's results of 64 rows of W from `row` on and COUNT rows of x from `column` on, through
// `out`, where rows of W come side by side.
template <int COUNT>
__device__ __forceinline__ void leave(
    const FusedLinear &f, const float (&sum)[STREAMS][COUNT / 2], float *out, int row, int column,
    int group) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3, thread = threadIdx.x & 127;
  // Four places of a row of x for a thread. Where the next product is one of wgmma too, they are in its order.
  constexpr bool IS_INTERLEAVED = INTERLEAVED && OUTPUT != CMGLU_F32;
  const int place = (thread & 15) * 4, from = IS_INTERLEAVED ? interleaved_from(place) : place;
  const bool isWide = row + 64 <= f.rows && f.outputStride % 4 == 0 &&
                      (u64)f.output % (OUTPUT == CMGLU_F32 ? 16 : 8) == 0;
#pragma unroll
  for (int first = 0; first < COUNT; first += CHUNK) {
    const int count = min(CHUNK, f.batch - column - first);
    if (count <= 0) break;
    const long long index = (column + first) * f.outputStride + row + place;
    float4 before[CHUNK / 8];
    if (OUTPUT == CMGLU_F32 && f.accumulate && isWide)
#pragma unroll
      for (int i = 0; i < CHUNK / 8; i++) {
        const int c = i * 8 + (thread >> 4);
        if (c < count) before[i] = *(const float4 *)((const float *)f.output + index + c * f.outputStride);
      }
    group_barrier(group);
#pragma unroll
    for (int j = 0; j < CHUNK / 8; j++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int at = (first / 8 + j) * 4 + i, to = j * 8 + (lane & 3) * 2 + (i & 1);
        float sums[STREAMS];
#pragma unroll
        for (int stream = 0; stream < STREAMS; stream++) sums[stream] = sum[stream][at];
        out[to * PITCH + warp * 16 + (lane >> 2) + (i >> 1) * 8] =
            output_of(f, sums, min(column + first + to, f.batch - 1));
      }
    group_barrier(group);
#pragma unroll
    for (int i = 0; i < CHUNK / 8; i++) {
      const int c = i * 8 + (thread >> 4);
      if (c >= count) break;
      const long long to = index + c * f.outputStride;
      const float *values = out + c * PITCH;
      float4 a;
      if (IS_INTERLEAVED) {
        const float2 low = *(const float2 *)(values + from), high = *(const float2 *)(values + from + 8);
        a = make_float4(low.x, low.y, high.x, high.y);
      } else {
        a = *(const float4 *)(values + from);
      }
      if (isWide && OUTPUT == CMGLU_F32) {
        if (f.accumulate) {
          a.x = __fadd_rn(a.x, before[i].x), a.y = __fadd_rn(a.y, before[i].y);
          a.z = __fadd_rn(a.z, before[i].z), a.w = __fadd_rn(a.w, before[i].w);
        }
        *(float4 *)((float *)f.output + to) = a;
      } else if (isWide && OUTPUT == (BF16 ? CMGLU_BF16 : CMGLU_F16) && !f.accumulate) {
        *(uint2 *)((u16 *)f.output + to) = make_uint2(narrow(a.x, a.y), narrow(a.z, a.w));
      } else {
#pragma unroll 1
        for (int e = 0; e < 4 && row + place + e < f.rows; e++) {
          float value = e == 0 ? a.x : e == 1 ? a.y : e == 2 ? a.z : a.w;
          if (f.accumulate) value = __fadd_rn(value, load(f.output, OUTPUT, to + e));
          store(f.output, OUTPUT, to + e, value);
        }
      }
    }
  }
}

extern "C" __global__ void __launch_bounds__((WARPS + FILLERS) * 32, 1)
#if SPLIT > 1
__cluster_dims__(SPLIT, 1, 1)
#endif
fused_linear_batch_wide(
    const __grid_constant__ FusedLinear f, const __grid_constant__ TensorMap rowsMap,
    const __grid_constant__ TensorMap cellsMap) {
#if __CUDA_ARCH__ == 900  // it is launched nowhere else
  extern __shared__ __align__(1024) unsigned char memory[];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  // [x stages][W stages][barriers full and empty, and one more][results GROUPS x CHUNK x PITCH]
  Barriers(f, memory).init(f.stages);
  __syncthreads();
  launch_dependents();
  const Barriers barriers(f, memory);

  if (warp >= WARPS) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    const u32 xs = shared_address(memory);
    if (lane == 0) {
      if (warp == WARPS)
        fill_weights(f, cellsMap, xs + f.stages * X_BYTES, W_BYTES, barriers);
      else if (warp == WARPS + 1)
        fill_input(f, rowsMap, xs, barriers);
    }
    return;
  }
  asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
  wait_for_input();  // before what is added to is read

  const int group = warp >> 2, rank = cluster_rank();
  const unsigned char *xs = memory + (ACROSS == 2 ? group * COLUMNS * 128 : 0);
  const unsigned char *own =
      memory + f.stages * X_BYTES + (ACROSS == 2 ? warp & 3 : warp) * CELL_BYTES;
  float *out = (float *)(memory + f.stages * (STAGE_BYTES + 16) + 16) + group * CHUNK * PITCH;
  const int cells = (f.columns + 63) / 64, groups = group_count(f), items = item_count(f);
  const int firstSlice = SPLIT > 1 ? rank * OWN_SLICES : 0;
  const auto row_of = [&](int item) {
    return (item / groups * CELL_ROWS + (ACROSS == 2 ? 0 : group * 4)) * 16;
  };
  const auto column_of = [&](int item) {
    return item % groups * GROUP + (ACROSS == 2 ? group * COLUMNS : 0);
  };

  // Registers that products read stay as they are until the next group of them is under way: words of W take
  // turns by 32 columns, masked ones by groups.
  Weights w[2];
  u32 words[MASKS + 1], masked[2][STEPS][OF_WAVE][4];
  int stage = 0;
  u32 parity = 0;
  int left = 0;
  for_cells(f, rank, [&](int, int, int, int) { left++; });
  if (left > 0) {
    barrier_wait(barriers.full, 0);
    load_weights(w[0], own, 0, lane);
    load_words<MASKS>(words, own + PLANES * PLANE_BYTES, lane);
  }
  for (int item = blockIdx.x / SPLIT; item < items; item += gridDim.x / SPLIT) {
    // Sums of a slice; of all slices so far, or where blocks share them, of each of the block's before it.
    float sum[STREAMS][COLUMNS / 2] = {}, total[STREAMS][COLUMNS / 2] = {};
    float held[HOLDS ? OWN_SLICES - 1 : 1][STREAMS][COLUMNS / 2];
    for (int slice = firstSlice; slice < firstSlice + OWN_SLICES; slice++) {
      if (HOLDS)
#pragma unroll
        for (int own = 0; own < OWN_SLICES - 1; own++)
#pragma unroll
          for (int stream = 0; stream < STREAMS; stream++)
#pragma unroll
            for (int i = 0; i < COLUMNS / 2; i++)
              held[own][stream][i] = own == OWN_SLICES - 2 ? sum[stream][i] : held[own + 1][stream][i];
      if (slice >= cells)
#pragma unroll
        for (int stream = 0; stream < STREAMS; stream++)
#pragma unroll
          for (int i = 0; i < COLUMNS / 2; i++) sum[stream][i] = 0.f;
      int before = -1;
      for (int cell = slice; cell < cells; cell += SLICES) {
        const u64 x = describe(shared_address(xs + stage * X_BYTES));
        const int here = stage;
#pragma unroll
        for (int step = 0; step < 4; step += STEPS)
#pragma unroll
          for (int wave = 0; wave < WAVES; wave++) {
            const int block = step / 2, turn = (step / STEPS * WAVES + wave) % 2;
#pragma unroll
            for (int s = 0; s < STEPS; s++)
#pragma unroll
              for (int m = 0; m < OF_WAVE; m++) {
                const int mask = wave * OF_WAVE + m;
                if (mask < MASKS)
#pragma unroll
                  for (int r = 0; r < 4; r++)
                    masked[turn][s][m][r] =
                        w[block].of[0][step % 2 + s][r] ^
                        (words[mask] * POWERS[(step + s) * 4 + r] & 0x80008000u);
              }
            fence_registers();
#pragma unroll
            for (int s = 0; s < STEPS; s++) {
              const u32(&a)[4] = w[block].of[0][step % 2 + s];
              const u32(&v)[4] = w[block].of[PLANES - 1][step % 2 + s];
              // Sums begin with the first products of a slice.
              const int adds = step + s > 0 || cell != slice;
              const u64 there = x + (step + s) * 2;
              if (wave == 0) {
                multiply_async(
                    sum[PLANES == 2 ? 0 : STREAMS - 1], a[0], a[1], a[2], a[3], there, adds);
                if (PLANES == 2) multiply_async(sum[1 % STREAMS], v[0], v[1], v[2], v[3], there, adds);
              }
#pragma unroll
              for (int m = 0; m < OF_WAVE; m++) {
                const int mask = wave * OF_WAVE + m;
                const u32(&k)[4] = masked[turn][s][m];
                if (mask < MASKS)
                  multiply_async(sum[min(mask, STREAMS - 1)], k[0], k[1], k[2], k[3], there, adds);
              }
            }
            commit_products();
            wait_for_products<1>();
            // What the 32 columns before took is free.
            if (step == 0 && wave == 0) {
              if (before >= 0) release(barriers.empty + before * 8, lane);
              load_weights(w[1], own + here * W_BYTES, 1, lane);
            } else if (step == 2 && wave == 0) {
              if (++stage == f.stages) stage = 0, parity ^= 1;
              if (--left > 0) {
                barrier_wait(barriers.full + stage * 8, parity);
                load_weights(w[0], own + stage * W_BYTES, 0, lane);
              }
            }
          }
        if (left > 0) load_words<MASKS>(words, own + stage * W_BYTES + PLANES * PLANE_BYTES, lane);
        before = here;
      }
      wait_for_products<0>();
      if (before >= 0) release(barriers.empty + before * 8, lane);
      if (SPLIT == 1)
#pragma unroll
        for (int stream = 0; stream < STREAMS; stream++)
#pragma unroll
          for (int i = 0; i < COLUMNS / 2; i++)
            total[stream][i] = __fadd_rn(total[stream][i], sum[stream][i]);
    }
#if SPLIT == 1
    leave<COLUMNS>(f, total, out, row_of(item), column_of(item), group);
#else
    // Every block is through with its ring, whose memory takes the sums:
    // [slice][stream][four of a thread's][thread][4].
    cluster_arrive(), cluster_wait();
    constexpr int FOURS = OWNED / 2 / 4;
    const u32 place = shared_address(memory) + threadIdx.x * 16;
#pragma unroll
    for (int owner = 0; owner < SPLIT; owner++) {
      const u32 there = remote(place, owner);
#pragma unroll
      for (int own = 0; own < OWN_SLICES; own++)
#pragma unroll
        for (int stream = 0; stream < STREAMS; stream++)
#pragma unroll
          for (int four = 0; four < FOURS; four++) {
            const int i = (owner * FOURS + four) * 4;
            const float(&from)[COLUMNS / 2] =
                HOLDS && own < OWN_SLICES - 1 ? held[HOLDS ? own : 0][stream] : sum[stream];
            asm volatile("st.shared::cluster.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(
                             there + (((firstSlice + own) * STREAMS + stream) * FOURS + four) *
                                         WARPS * 32 * 16),
                         "f"(from[i]), "f"(from[i + 1]), "f"(from[i + 2]), "f"(from[i + 3])
                         : "memory");
          }
    }
    cluster_arrive(), cluster_wait();
    float owned[STREAMS][OWNED / 2] = {};
    const float4 *found = (const float4 *)memory + threadIdx.x;
#pragma unroll
    for (int slice = 0; slice < SLICES; slice++)
#pragma unroll
      for (int stream = 0; stream < STREAMS; stream++)
#pragma unroll
        for (int four = 0; four < FOURS; four++, found += WARPS * 32) {
          const float4 s = *found;
          float *to = &owned[stream][four * 4];
          to[0] = __fadd_rn(to[0], s.x), to[1] = __fadd_rn(to[1], s.y);
          to[2] = __fadd_rn(to[2], s.z), to[3] = __fadd_rn(to[3], s.w);
        }
    leave<OWNED>(f, owned, out, row_of(item), column_of(item) + rank * OWNED, group);
#endif
  }
#endif
}
