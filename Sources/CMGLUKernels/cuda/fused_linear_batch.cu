// fused_linear_batch: what fused_linear.cu computes, for steps of many rows on Hopper. Each row gets the
// bits that it has alone.
//
// fused_linear.cu's warps share out the cells of 16 rows, every eighth to a warp: eight slices of the
// sum, which are added in their order. Here a warp takes rows of its own and walks slice after slice,
// so x is read once for 64 rows of W, or 128 without masks, by all warps of a block: through shared
// memory, in stages of a cell's 64 columns, beside those cells. What limits a block is then neither x
// on its way through the L2 nor sums on their way through shared memory.
//
// Work. An item is CELL_ROWS rows of cells by GROUP columns of input. Warp w multiplies row w / 2 of cells, or
// two, by half of the columns. Two threads more fill the stages through the copy engine: one with weights, before
// the input is there; one with x, rounded by `stage` of fused_linear.cu or as it is. Where items are few, a
// cluster of blocks shares an item: each has some slices, whose sums go to the block that
// owns the output, through distributed shared memory, and are added there in the order of slices.
// Exact inputs are pieces that follow one another as fused_linear.cu adds them: one after the other,
// over the weights anew.
//
// Variants MASKS, PLANES, BF16, INT8 as fused_linear.cu; ACTIVATION, GATING and OUTPUT, its arguments of that
//          name, known at compile time; INTERLEAVED, the order of 16-bit outputs; TILES 1...8 of 8 columns
//          for each warp, ROWS 1 or, of one plane without masks, 2; CLUSTER 1 or 2 blocks for an item.
// Launch   blocks of 384 threads: with CLUSTER 1 any number, else CLUSTER for each item. Compute
//          capability 9.0.
//
// Measured on an H100 (2026-11-26, FP16, inputs of FP16, cold weights, graph replay), microseconds, and those
// of the bytes at 3.09 TB/s; in brackets torch's F.linear over W, or over gate and value in one:
//     rows                  8     16     32     64        128       256   bytes
//     3072 x 2048         7.7    7.7    8.2    9.8 (8)   13.9      18.3     4.1
//     2048 x 2048         6.4    6.3    7.9    8.6 (7)   10.8      14.9     2.7
//     SwiGLU 8192 x 2048 23.5   23.7   24.4   25.7 (29)  29.8 (29) 53.1 (33) 21.7
//     n_m = 1            15.1   15.1   16.3   19.7       29.0      53.2    11.5
//     n_m = 4            19.5   19.4   24.3   35.0       63.9     123.6    13.6
//     2048 x 8192        16.8   16.8   18.2   19.9 (17)  24.9 (19) 37.1 (22) 10.9
//     50257 x 2048       71.7   72.1   72.9   78.6       96.0     182.6    66.6
// INT8: SwiGLU 15.7, 16.0, 17.8, 22.4, 41.0, 78.7 of 11.5; n_m = 4 20.1 ... 49.8 at 64 rows of 8.5.
// Steps on the way, SwiGLU at 64 and 256 rows: one warp that copied a row of cells with each lane, and x by
// cp.async, which each thread announced, 31.6 and 83.7; copies by a thread each of three warps, x by the copy
// engine 26.1 and 62.1; a block of columns ahead in registers, 26.3 and 55.1; fast quotients 25.7 and 53.4.
// Nothing came of the next product's weights on their way to the L2 (1,218 us a step of 64 rows, 1,211).
// What bounds it: from a block's end to the next kernel's first product, and from its last to its end, 4.5
// us pass, which no other work hides; then tensor cores, which mma.sync keeps 8.5 cycles busy with a
// product where it takes 6.5 at best (640 TFLOP/s; this does 330). fused_linear_batch_wide.cu does 450.

#ifndef CLUSTER
#define CLUSTER 1
#endif
#ifndef ACTIVATION
#define ACTIVATION CMGLU_IDENTITY
#endif
#ifndef GATING
#define GATING CMGLU_LINEAR
#endif
#ifndef OUTPUT
#define OUTPUT CMGLU_F32
#endif

#include "cmglu_numbers.h"
#include "fused_linear_unit.cu"

constexpr int ACROSS = 2;                         // warps that share the columns
constexpr int CELL_ROWS = WARPS / ACROSS * ROWS;  // rows of cells of an item
constexpr int GROUP = ACROSS * TILES * 8;         // columns of an item
constexpr int INPUT_BYTES = GROUP * 128;
constexpr int STAGE_BYTES = CELL_ROWS * CELL_BYTES + INPUT_BYTES;
constexpr int OUTPUTS = ROWS * TILES * 4;        // of a thread
[[maybe_unused]] constexpr int OWNED = OUTPUTS / CLUSTER;  // those that a block of a cluster owns
static_assert(OUTPUTS % CLUSTER == 0, "each block of a cluster owns as many outputs");

#define SPLIT CLUSTER
#include "fused_linear_batch_output.cu"
#include "fused_linear_batch_ring.cu"

// The thread that fills in x: 16-bit elements [pieces][blocks of 32 columns][batch][32], of which a stage takes
// boxes of [1][2][GROUP][32].
__device__ __forceinline__ void fill_input(
    const FusedLinear &f, const TensorMap &map, u32 memory, const Barriers &barriers) {
  prefetch_map(map);
  wait_for_input();
  Place place;
  for_cells(f, cluster_rank(), [&](int, int group, int piece, int cell) {
    barrier_wait(barriers.empty + place.stage * 8, place.turn);
    const u32 barrier = barriers.full + place.stage * 8;
    expect(barrier, STAGE_BYTES);
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(
            memory + place.stage * STAGE_BYTES + CELL_ROWS * CELL_BYTES),
        "l"(&map), "r"(0), "r"(group * GROUP), "r"(cell * 2), "r"(piece), "r"(barrier)
        : "memory");
    place.next(f.stages);
  });
}

// Leaves a thread's outputs from the `first` on: of its rows of cells, tiles of columns and places in a
// tile. What they are added to is read before others are written, some at a time.
template <int COUNT>
__device__ __forceinline__ void leave(
    const FusedLinear &f, int rows, int group, int warp, int lane, int first,
    const float (&sums)[COUNT][STREAMS]) {
  const auto row_of = [&](int index) {
    return (rows * CELL_ROWS + warp / ACROSS * ROWS + index / (TILES * 4)) * 16 + (lane >> 2) +
           (index >> 1 & 1) * 8;
  };
  const auto column_of = [&](int index) {
    return group * GROUP + (warp % ACROSS * TILES + index / 4 % TILES) * 8 + (lane & 3) * 2 +
           (index & 1);
  };
  constexpr int SOME = COUNT < 16 ? COUNT : 16;
#pragma unroll
  for (int start = 0; start < COUNT; start += SOME) {
    float before[SOME] = {};
    if (f.accumulate)
#pragma unroll
      for (int i = 0; i < SOME && start + i < COUNT; i++) {
        const int row = row_of(first + start + i), column = column_of(first + start + i);
        if (row < f.rows && column < f.batch)
          before[i] = load(f.output, OUTPUT, column * f.outputStride + place_of(row));
      }
#pragma unroll
    for (int i = 0; i < SOME && start + i < COUNT; i++) {
      const int row = row_of(first + start + i), column = column_of(first + start + i);
      if (row >= f.rows || column >= f.batch) continue;
      float a = output_of(f, sums[start + i], column);
      if (f.accumulate) a = __fadd_rn(a, before[i]);
      store(f.output, OUTPUT, column * f.outputStride + place_of(row), a);
    }
  }
}

extern "C" __global__ void __launch_bounds__((WARPS + FILLERS) * 32, 1)
#if CLUSTER > 1
__cluster_dims__(CLUSTER, 1, 1)
#endif
fused_linear_batch(
    const __grid_constant__ FusedLinear f, const __grid_constant__ TensorMap rowsMap,
    const __grid_constant__ TensorMap cellsMap) {
#if __CUDA_ARCH__ == 900  // it is launched nowhere else
  extern __shared__ __align__(128) unsigned char memory[];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  // [stages][barriers full and empty, and one of the sums][sums pieces x SLICES x OWNED x STREAMS x 256]
  Barriers(f, memory).init(f.stages);
  __syncthreads();
  launch_dependents();
#if CLUSTER > 1
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif

  if (warp >= WARPS) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 56;");
    const Barriers barriers(f, memory);
    if (lane == 0) {
      if (warp == WARPS)
        fill_weights(f, cellsMap, shared_address(memory), STAGE_BYTES, barriers);
      else if (warp == WARPS + 1)
        fill_input(f, rowsMap, shared_address(memory), barriers);
    }
#if CLUSTER > 1
    __syncwarp();
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
    return;
  }
  asm volatile("setmaxnreg.inc.sync.aligned.u32 224;");
  wait_for_input();  // before what is added to is read

  const Barriers barriers(f, memory);
  const int rank = cluster_rank();

  // This lane's columns of x in a stage, and its warp's cells.
  const int own = warp / ACROSS * ROWS * CELL_BYTES;
  const int x = CELL_ROWS * CELL_BYTES + (warp % ACROSS * TILES * 8 + (lane >> 2)) * 64 + (lane & 3) * 16;
  const int cells = (f.columns + 63) / 64, groups = group_count(f), items = item_count(f);
  const int firstSlice = rank * (SLICES / CLUSTER);
  int stage = 0;
  u32 parity = 0;
  // While a block of 32 columns is multiplied the next one is on its way to registers, also that of the next
  // cell, of which there are `left`.
  int left = 0;
  for_cells(f, rank, [&](int, int, int, int) { left++; });
  const int stride = ROWS == 2 ? CELL_BYTES : PLANE_BYTES;
  const unsigned char *from;
  const auto input = [&](int tile, int block) {
    return *(const uint4 *)(from + x + (block * GROUP + tile * 8) * 64);
  };
  // A unit of work is a block and TOGETHER tiles: weights and inputs of two are in registers.
  constexpr int HALVES = TILES / TOGETHER, UNITS = 2 * HALVES;
  BlockWeights weights[2];
  BlockInputs inputs[2];
  const auto load_unit = [&](int unit) {
    if (unit % HALVES == 0) weights[unit / HALVES].load(from + own, stride, unit / HALVES, lane);
    inputs[unit & 1].load(input, unit / HALVES, unit % HALVES * TOGETHER);
  };
  const auto begin_cell = [&] {
    barrier_wait(barriers.full + stage * 8, parity);
    from = memory + stage * STAGE_BYTES;
    load_unit(0);
  };
  if (left > 0) begin_cell();
#if CLUSTER > 1
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
  for (int item = blockIdx.x / CLUSTER; item < items; item += gridDim.x / CLUSTER) {
#if CLUSTER == 1
    float total[OUTPUTS][STREAMS] = {};
#endif
    for (int piece = 0; piece < f.pieces; piece++)
      for (int slice = firstSlice; slice < firstSlice + SLICES / CLUSTER; slice++) {
        CellSums sum = {};
        for (int cell = slice; cell < cells; cell += SLICES) {
          const MaskWords words(from + own, lane);
#pragma unroll
          for (int unit = 0; unit < UNITS; unit++) {
            if (unit < UNITS - 1) load_unit(unit + 1);
            if (unit == UNITS - 1) {
              __syncwarp();
              if (lane == 0)
                asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(barriers.empty + stage * 8)
                             : "memory");
              if (++stage == f.stages) stage = 0, parity ^= 1;
              if (--left > 0) begin_cell();
            }
            add_block(
                sum, weights[unit / HALVES], inputs[unit & 1], words, unit / HALVES,
                unit % HALVES * TOGETHER);
          }
        }
#if CLUSTER == 1
#pragma unroll
        for (int index = 0; index < OUTPUTS; index++)
#pragma unroll
          for (int stream = 0; stream < STREAMS; stream++) {
            float &t = total[index][stream];
            t = __fadd_rn(
                t, sum[index / (TILES * 4) * STREAMS + stream][index / 4 % TILES][index & 3]);
          }
#else
        // [piece][slice][owned][stream][thread]
        const u32 place = barriers.received + 8 + ((piece * SLICES + slice) * OWNED * STREAMS * WARPS * 32 +
                                          (int)threadIdx.x) * 4;
#pragma unroll
        for (int owner = 0; owner < CLUSTER; owner++) {
          const u32 there = remote(place, owner);
#pragma unroll
          for (int i = 0; i < OWNED; i++)
#pragma unroll
            for (int stream = 0; stream < STREAMS; stream++) {
              const int index = owner * OWNED + i, part = index / (TILES * 4);
              asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(
                               there + (i * STREAMS + stream) * WARPS * 32 * 4),
                           "f"(sum[part * STREAMS + stream][index / 4 % TILES][index & 3])
                           : "memory");
            }
        }
#endif
      }
#if CLUSTER == 1
    leave(f, item / groups, item % groups, warp, lane, 0, total);
#else
    __syncwarp();
    if (lane < CLUSTER)
      asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(
                       remote(barriers.received, lane))
                   : "memory");
    u32 done = 0;
    while (!done)
      asm volatile(
          "{ .reg .pred p; mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], 0;"
          " selp.u32 %0, 1, 0, p; }"
          : "=r"(done)
          : "r"(barriers.received)
          : "memory");
    const float *found = (const float *)(memory + f.stages * (STAGE_BYTES + 16) + 8) + threadIdx.x;
    float total[OWNED][STREAMS] = {};
    for (int slice = 0; slice < f.pieces * SLICES; slice++, found += OWNED * STREAMS * WARPS * 32)
#pragma unroll
      for (int i = 0; i < OWNED; i++)
#pragma unroll
        for (int stream = 0; stream < STREAMS; stream++)
          total[i][stream] =
              __fadd_rn(total[i][stream], found[(i * STREAMS + stream) * WARPS * 32]);
    leave(f, item / groups, item % groups, warp, lane, rank * OWNED, total);
#endif
  }
#endif
}
