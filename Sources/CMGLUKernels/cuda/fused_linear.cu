// FlashMGLU for NVIDIA GPUs: a feed-forward unit, or a plain projection, in one pass over its
// weights and mask bits, for 1 to 16 columns of input (on Hopper fused_linear_batch.cu and
// fused_linear_batch_wide.cu take more than 4 rows of rounded inputs, or than 16 columns of exact ones).
//
//     masked   a = sum_i p_i g(s_i) (t - s_i),  t = x W^T,  s_i = x (M_i . W)^T
//     gated    a = g(x Wg^T) (x Wv^T)
//     linear   a = g(x W^T)             shared  a = g(x W^T) (x W^T)
//
// One variant is compiled per mask count, number of matrices, type and column tiles:
//     MASKS 0...16, PLANES 1 or 2 (gate and value), BF16 0 or 1, or INT8 1 (inputs are FP16 then),
//     TILES 1 or 2 (of 8 columns),
//     STAGED 0 or 1 (x comes from `stage` through memory, for rows that shared memory cannot hold;
//     interleaved with INTERLEAVED 1)
//
// fused_linear_cell.cu says how weights lie and how masks are applied. Inputs are rounded to the weights'
// type, or split into pieces (FP16 2, BF16 3) that take a column each and add up to float32.
//
// Work. A block takes tiles blockIdx.x, + gridDim.x, ...; its 8 warps take their cells in turn, each
// with a ring of stages of its own that bulk copies fill (cp.async before Hopper). The ring is filled
// before the kernel waits for the one that computes its input (programmatic dependent launch), so
// the memory stays busy between kernels; a few stages at a time, because small reads queue behind
// copies on their way. Sums of the warps meet in shared memory in a fixed order: a row's result
// depends neither on its batch nor on the grid.
//
// Measured on an H100 (2026-11-25, FP16, batch 1, cold weights, graph replay), microseconds at
// 8192 x 2048 and 14336 x 4096; the bytes at the read bandwidth of that card, 3.09 TB/s, and the
// prototype of a warp per row with float32 masked additions:
//     n_m            1            2            4            8
//     this       12.0  40.9   12.8  43.1   14.3  48.1   17.7  58.9
//     bytes      11.5  40.4   12.2  42.8   13.6  47.5   16.3  57.0
//     prototype  13.9  42.9   14.9  45.9   17.1  52.5   22.0  63.4
// Steps on the way, n_m = 8: shifts on the unit of the logic operations 21.3 and 61.9; as products,
// and a thread per mask in the sums' last step 19.2 and 58.9; rings filled a few stages at a time
// 17.9 and 59.4 (which costs n_m = 1 a microsecond at the large shape).

#ifndef STAGED
#define STAGED 0
#endif

// Points of a block's life, which Benchmarks/cuda/step_timeline.cu takes the time of.
#ifndef MARK
#define MARK(point)
#endif

#include "cmglu_numbers.h"
#include "fused_linear_unit.cu"

// Stages of a warp that are on their way while the input is not there: what other kernels wait for
// would queue behind more of them, and fewer would leave the memory idle.
#ifndef WINDOW_BYTES
#define WINDOW_BYTES 40960
#endif
constexpr int WINDOW = WINDOW_BYTES / (8 * CELL_BYTES) > 1 ? WINDOW_BYTES / (8 * CELL_BYTES) : 1;

extern "C" __global__ void __launch_bounds__(WARPS * 32, MASKS <= (INT8 ? 4 : 8) && TILES == 1 ? 2 : 1)
fused_linear(const __grid_constant__ FusedLinear f) {
  extern __shared__ __align__(128) unsigned char memory[];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  MARK(0);
  const int columns = f.batch * f.pieces;
  const int cells = (f.columns + 63) / 64;
  const int own = (cells - warp + WARPS - 1) / WARPS;  // every eighth
  const int tiles = (f.rows + 15) / 16;
  const int stride = input_stride(f.columns);

  // [ring WARPS][barriers WARPS][x unless STAGED][sums places x WARPS x STREAMS x 16 x columns][scratch]
  unsigned char *ring = memory + warp * f.stages * CELL_BYTES;
  unsigned char *after = memory + WARPS * f.stages * CELL_BYTES;
  const u32 barriers = shared_address(after) + warp * f.stages * 8;
  after += (WARPS * f.stages * 8 + 127) / 128 * 128;
#if STAGED
  const unsigned char *xs = f.staged;
  float *partial = (float *)after;
#else
  unsigned char *xs = after;
  float *partial = (float *)(after + columns * stride);
#endif
  const int sums = WARPS * STREAMS * 16 * columns;

  u64 policy = 0;
#if __CUDA_ARCH__ >= 900
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
#endif
  float *scratch = partial + f.places * sums;
  volatile int *has_input = (volatile int *)(scratch + WARPS + columns - 1);
  if (threadIdx.x == 0) *has_input = 0;
  // Small reads first: behind the copies of the ring they would wait for all of them.
  if (f.norm)
    for (int k = threadIdx.x * 32; k < f.columns; k += WARPS * 32 * 32)
      asm volatile("prefetch.global.L2 [%0];" ::"l"(f.norm + k));
  if (lane == 0) {
    for (int stage = 0; stage < f.stages; stage++) barrier_init(barriers + stage * 8);
#if __CUDA_ARCH__ >= 900
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
  }
  __syncthreads();

  // The cell of the next copy: the ring runs ahead of the sums, across tiles.
  int next_tile = blockIdx.x, next_cell = 0;
  auto fill = [&](int stage) {
    if (next_tile >= tiles || own == 0) return;
    copy_stage(
        shared_address(ring + stage * CELL_BYTES),
        f.cells + ((long long)next_tile * cells + next_cell * WARPS + warp) * CELL_BYTES, CELL_BYTES,
        barriers + stage * 8, lane, policy);
    if (++next_cell == own) next_cell = 0, next_tile += gridDim.x;
  };
  int filled = 0;
  for (; filled < min(WINDOW, f.stages); filled++) fill(filled);

  // One warp waits for the input, the others fill their rings meanwhile, a few stages at a time.
  // What comes next may start at once, or, in a chain, when nothing here waits for memory any more
  // that its copies would be in the way of.
  MARK(1);
  if (!f.isChained) launch_dependents();
  if (warp == 0) {
    wait_for_input();
    *has_input = 1;
  } else {
    bool is_waiting = own > 0;
    while (is_waiting && filled < f.stages) {
      bool has_arrived = false;
      if (lane == 0) {
        is_waiting = !*has_input;
        has_arrived = is_complete(barriers + (filled - WINDOW) * 8, 0);
      }
      is_waiting = __shfl_sync(~0u, is_waiting, 0);
      if (__shfl_sync(~0u, has_arrived, 0)) fill(filled++);
    }
  }
  wait_for_input();
  MARK(2);
#if !STAGED
  stage_input(f, xs, stride, scratch);
  __syncthreads();
#endif

  MARK(3);
  for (; filled < f.stages; filled++) fill(filled);
  if (f.isChained) launch_dependents();

  // This lane's column of x, and of the second tile; surplus columns repeat one that exists.
  const unsigned char *mine = xs + (lane & 3) * 16 + warp * 128;
  const unsigned char *x0 = mine + (long long)min(lane >> 2, columns - 1) * stride;
  const unsigned char *x1 = mine + (long long)min(8 + (lane >> 2), columns - 1) * stride;

  int stage = 0, round = 0;
  u32 parity = 0;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x, round++) {
    float sum[STREAMS][TILES][4] = {};
    // A thread for each mask of each output, other warps every time. What it adds to is on its way
    // while the products are made.
    const int count = 16 * f.batch * TERMS;
    const int first_item = (threadIdx.x + (round & 1) * WARPS * 16) % (WARPS * 32);
    float before = 0.f;
    if (f.accumulate && first_item < count && first_item % TERMS == 0) {
      const int row = tile * 16 + (first_item / TERMS & 15);
      const long long b = first_item / (TERMS * 16);
      if (row < f.rows) before = load(f.output, f.outputType, b * f.outputStride + row);
    }
    for (int cell = 0; cell < own; cell++) {
      barrier_wait(barriers + stage * 8, parity);
      add_cell(
          sum, ring + stage * CELL_BYTES, PLANE_BYTES,
          [&](int t, int block) {
            return *(const uint4 *)((t == 0 ? x0 : x1) + cell * (WARPS * 128) + block * 64);
          },
          lane);
      __syncwarp();
      fill(stage);
      if (++stage == f.stages) stage = 0, parity ^= 1;
    }

    // [warp][column][row 16][STREAMS]
    if (f.places == 1 && round > 0) __syncthreads();
    float *all = partial + (round & (f.places - 1)) * sums, *own_sums = all + warp * columns * 16 * STREAMS;
#pragma unroll
    for (int stream = 0; stream < STREAMS; stream++)
#pragma unroll
      for (int t = 0; t < TILES; t++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int row = (lane >> 2) + (i >> 1) * 8, column = t * 8 + (lane & 3) * 2 + (i & 1);
          if (column < columns) own_sums[(column * 16 + row) * STREAMS + stream] = sum[stream][t][i];
        }
    __syncthreads();
    if (round == 0) {
      MARK(4);
    }
    for (int item = first_item; item < count; item += WARPS * 32) {
      const int mask = item % TERMS, row = item / TERMS & 15, b = item / (TERMS * 16);
      float s = 0.f, t = 0.f;
      for (int piece = 0; piece < f.pieces; piece++)
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
          const float *from =
              all + ((w * columns + b * f.pieces + piece) * 16 + row) * STREAMS;
          t += from[STREAMS - 1];
          if (STREAMS > 1) s += from[MASKS > 0 ? min(mask, MASKS - 1) : 0];
        }
      float a = combine(s, t, f);
      if (MASKS > 0) {
        if (f.routes) a *= f.routes[b * MASKS + min(mask, MASKS - 1)];
        if (mask >= MASKS) a = 0.f;
      }
#pragma unroll
      for (int other = 1; other < TERMS; other *= 2) a += __shfl_xor_sync(~0u, a, other);
      if (mask > 0 || tile * 16 + row >= f.rows) continue;
      const long long index = b * f.outputStride + tile * 16 + row;
      if (f.accumulate) a += item == first_item ? before : load(f.output, f.outputType, index);
      store(f.output, f.outputType, index, a);
    }
  }
  MARK(5);
}

#if STAGED
// A block for each row of x; one that is staged costs a launch and its bytes once more.
extern "C" __global__ void __launch_bounds__(WARPS * 32) stage(const __grid_constant__ FusedLinear f) {
  __shared__ float scratch[WARPS];
  launch_dependents();
  wait_for_input();
  stage_row(f, f.staged, input_stride(f.columns), scratch, blockIdx.x);
}
#endif
