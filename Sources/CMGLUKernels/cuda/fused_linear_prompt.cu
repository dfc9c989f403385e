// FlashMGLU for rows of prompts on Hopper (sm_90a): a feed-forward unit, or a plain projection, of any
// number of rows, in one pass over W and its mask bits.
//
//     masked   a = sum_i p_i g(s_i) (t - s_i),  t = x W^T,  s_i = x (M_i . W)^T
//     gated    a = g(x Wg^T) (x Wv^T)
//     linear   a = g(x W^T)             shared  a = g(x W^T) (x W^T)
//
// One variant is compiled per unit, 16-bit type and tile:
//     MASKS 0...16, PLANES 1 or 2 (gate and value), BF16 0 or 1, ACTIVATION and GATING of
//     cmglu_numbers.h, ROUTED 0 or 1 (there are p_i), COLUMNS of a tile, INTERLEAVED, the order of 16-bit
//     outputs of whole 64 rows of W
//
// Work. A tile is 128 rows of W by COLUMNS rows of x: two warpgroups multiply 64 rows of W each, while
// threads of a third copy what comes next into a ring of stages of 64 columns of W. W is the operand in
// registers: a lane's words of a cell (fused_linear_cell.cu) are its fragment of wgmma, too, so masks
// flip signs there and n_m + 1 sums grow side by side; they are combined at the end and never leave the
// registers wide. COLUMNS is what they leave room for: 256 for one sum, 64 for five. While the tensor
// cores multiply the words of two masks, the lanes flip the signs of the next two. Seven masks and
// more take several passes over k, of up to four masks each, because with smaller tiles the lanes could not
// keep up; t and what the masks before have added up to wait in shared memory.
//
// x. Rows of 16 bits, interleaved (fused_linear_input.cu): in the order in which lanes hold columns of W.
// Attention and the units before a projection leave rows so, `stage` of fused_linear.cu brings others into
// that order, normalized; the copy engine swizzles 64 columns of a tile's rows. Exact inputs are pieces that add
// up to float32: further columns of the same sums, the smallest pieces first, which leave out least.
//
// Segments. A projection that adds to its output does so after every `segment` columns of W where there
// are many, so that blocks can take the segments of a tile side by side, where x has few rows: then there are
// `turns`, and they add in order, each when the one before has said that it is done.
//
// INT8 weights become FP16 in registers, integers times scales, where the other kernels scale sums.
//
// Every result is one chain of sums over k, or one for each segment, whatever the tile: a row has the
// same bits in any company.
//
// Measured on an H100 (2026-11-27, FP16, Benchmarks/prompt_products_cuda), TFLOP/s of executed products
// (n_m + 1, two of a GLU), and those of torch.matmul in the same run, at rows of x:
//                        128   512  2048  8192    matmul   128   512  2048  8192
//     8192 x 2048        245   609   673   623             271   654   658   665
//     2048 x 8192, adds  160   496   654   662             218   627   714   669
//     3072 x 2048        100   359   575   657             204   540   678   706
//     2048 x 2048, adds   79   324   467   531             165   431   655   698
//     GLU 8192 x 2048    295   608   660   585
//     n_m = 1            391   628   700   649
//     n_m = 2            411   562   636   666
//     n_m = 4            505   609   556   599
//     n_m = 8            552   656   609   619
// Steps on the way, 2048 x 2048 over 512 rows, microseconds: a copy for each of a stage's eight cells, whose
// start took 560 cycles together, 17.2; one copy for all 12.2 (16.8 with a hint to the L2, copy_cells). A stage as
// one group of products instead of four is 5 % faster for tiles of 64 rows of x, and 6 % slower for 128.
// wgmma by itself with A in registers: 830 to 880 for 32 columns and more, 600 for 16. Power bounds
// large products, as it does those of cuBLAS; adding to float32 costs 10 us where 16 MB are added to
// by all blocks at once; few rows leave multiprocessors idle (one projection of 2048 rows is 16 tiles).

#include "cmglu_numbers.h"

#define TILES 1
#define ACTIVATE activate_fast
#include "fused_linear_unit.cu"

#ifndef ACTIVATION
#define ACTIVATION CMGLU_IDENTITY
#endif
#ifndef GATING
#define GATING CMGLU_LINEAR
#endif
#ifndef ROUTED
#define ROUTED 0
#endif
#ifndef INTERLEAVED
#define INTERLEAVED 0
#endif
#ifndef COLUMNS
#define COLUMNS 64
#endif

#include "fused_linear_wgmma.cu"

// Warpgroups that multiply.
constexpr int GROUPS = 2;
constexpr int TILE_ROWS = GROUPS * 64;
constexpr int TILE_CELLS = TILE_ROWS / 16;
constexpr int X_BYTES = COLUMNS * 128;
constexpr int W_BYTES = TILE_CELLS * CELL_BYTES;
// Passes over k, masks of each, and sums.
constexpr int PASSES = MASKS < 7 ? 1 : (MASKS + 3) / 4;
constexpr int OF_PASS = (MASKS + PASSES - 1) / PASSES;
constexpr int SUMS = PLANES == 2 ? 2 : OF_PASS + 1;
static_assert(OF_PASS % VECTOR == 0 || PASSES == 1, "words of a pass begin with a vector");
// Masks whose products are a group of wgmma, and such groups of 16 columns of W.
constexpr int OF_WAVE = OF_PASS < 2 ? 1 : 2;
constexpr int WAVES = OF_PASS < 2 ? 1 : (OF_PASS + 1) / 2;
// Rows of x whose results a warpgroup writes at a time, and the distance between them in floats: four
// banks more than whole ones.
constexpr int CHUNK = COLUMNS < 32 || COLUMNS % 32 ? 16 : 32;
constexpr int PITCH = 64 + 4;
constexpr int OUTPUT_BYTES = GROUPS * CHUNK * PITCH * 4;
// t, and the sum of the terms of earlier passes, a place for each thread.
constexpr int TERM_BYTES = PASSES > 1 ? 2 * GROUPS * 128 * COLUMNS / 2 * 4 : 0;
constexpr int STAGES = (227 * 1024 - OUTPUT_BYTES - TERM_BYTES - 256) / (X_BYTES + W_BYTES);

__device__ __forceinline__ int column_tiles(const FusedLinear &f) {
  return (f.batch + COLUMNS - 1) / COLUMNS;
}

__device__ __forceinline__ int tile_count(const FusedLinear &f) {
  return (f.rows + TILE_ROWS - 1) / TILE_ROWS * column_tiles(f);
}

__device__ __forceinline__ int segment_count(const FusedLinear &f) {
  return ((f.columns + 63) / 64 * f.pieces + f.segment - 1) / f.segment;
}

__device__ __forceinline__ void arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// A block's part of the work: the first rows of W and of x of a tile, and the cells of W, one after the
// other in all pieces of x.
struct Work {
  int tile, row, column, first, end;
};

// Blocks that run together share rows of W and x in L2: tiles go along bands of 2048 rows of x.
__device__ __forceinline__ Work work(const FusedLinear &f, int index) {
  const int cells = (f.columns + 63) / 64 * f.pieces, segments = f.turns ? segment_count(f) : 1;
  const int rowTiles = (f.rows + TILE_ROWS - 1) / TILE_ROWS, columnTiles = column_tiles(f);
  constexpr int BAND = 2048 / COLUMNS;
  const int tile = index / segments, segment = index % segments;
  const int band = tile / (BAND * rowTiles), within = tile - band * BAND * rowTiles;
  const int width = min(BAND, columnTiles - band * BAND);
  Work w;
  w.tile = tile;
  w.row = within / width * TILE_ROWS;
  w.column = (band * BAND + within % width) * COLUMNS;
  w.first = f.turns ? segment * f.segment : 0;
  w.end = f.turns ? min(cells, w.first + f.segment) : cells;
  return w;
}

__device__ __forceinline__ int work_count(const FusedLinear &f) {
  return tile_count(f) * (f.turns ? segment_count(f) : 1);
}

// What a block's stages are filled with: `body(work, piece, cell, stage)` for each when it is empty, in order.
template <class Body>
__device__ __forceinline__ void for_stages(const FusedLinear &f, u32 empty, Body body) {
  const int cells = (f.columns + 63) / 64, count = work_count(f);
  int stage = 0;
  u32 parity = 1;
  for (int index = blockIdx.x; index < count; index += gridDim.x) {
    const Work w = work(f, index);
#pragma unroll 1
    for (int pass = 0; pass < PASSES; pass++) {
      int piece = f.pieces - 1 - w.first / cells, cell = w.first % cells;
      for (int i = w.first; i < w.end; i++) {
        barrier_wait(empty + stage * 8, parity);
        body(w, piece, cell, stage);
        if (++cell == cells) cell = 0, piece--;
        if (++stage == STAGES) stage = 0, parity ^= 1;
      }
    }
  }
}

// A thread's copies of W, which is there before any kernel; another one's of x, which says how many bytes a
// stage is.
__device__ __forceinline__ void fill_weights(
    const FusedLinear &f, const TensorMap &map, u32 ws, u32 full, u32 empty) {
  prefetch_map(map);
  for_stages(f, empty, [&](const Work &w, int, int cell, int stage) {
    copy_cells(
        ws + stage * W_BYTES, map, cell, w.row / 16, full + stage * 8, f.batch <= COLUMNS);
  });
}

__device__ __forceinline__ void fill_input(
    const FusedLinear &f, const TensorMap &map, u32 xs, u32 full, u32 empty) {
  prefetch_map(map);
  wait_for_input();
  for_stages(f, empty, [&](const Work &w, int piece, int cell, int stage) {
    expect(full + stage * 8, X_BYTES + W_BYTES);
    copy_rows(xs + stage * X_BYTES, map, cell * 64, w.column, piece, full + stage * 8);
  });
}

// The result of sums of one row of W and one of x, or what the masks of a pass add to it.
__device__ __forceinline__ float result(
    const FusedLinear &f, const float (&sum)[SUMS][COLUMNS / 2], int index, float t, float a, int pass,
    int column) {
  FusedLinear unit = f;
  unit.activation = ACTIVATION;
  unit.gating = GATING;
  if (MASKS == 0) return combine(sum[0][index], t, unit);
  const int routes = min(column, f.batch - 1) * MASKS;
#pragma unroll
  for (int m = 0; m < OF_PASS; m++) {
    const int mask = pass * OF_PASS + m;
    if (OF_PASS * PASSES > MASKS && mask >= MASKS) break;
    const float term = combine(sum[min(m, SUMS - 1)][index], t, unit);
    a += ROUTED ? f.routes[routes + mask] * term : term;
  }
  return a;
}

// The terms of a pass, where there are several: `terms` has t and their sum for each of a thread's sums.
__device__ __forceinline__ void add_terms(
    const FusedLinear &f, const float (&sum)[SUMS][COLUMNS / 2], float *terms, const Work &at, int pass) {
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int i = 0; i < COLUMNS / 2; i++) {
    float *mine = terms + i * 2 * GROUPS * 128;
    const float t = pass == 0 ? sum[SUMS - 1][i] : mine[0], a = pass == 0 ? 0.f : mine[GROUPS * 128];
    if (pass == 0) mine[0] = t;
    mine[GROUPS * 128] =
        result(f, sum, i, t, a, pass, at.column + i / 4 * 8 + (lane & 3) * 2 + (i & 1));
  }
}

// A warpgroup's results of a tile, out through `out`, where rows of W come side by side.
__device__ __forceinline__ void write_results(
    const FusedLinear &f, const float (&sum)[SUMS][COLUMNS / 2], const float *terms, float *out,
    const Work &at, int group) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3;
  // Four places of a row of x for a thread. Where the next product is one of wgmma too, they are in its order.
  const int thread = threadIdx.x & 127, place = (thread & 15) * 4;
  const int from = INTERLEAVED ? interleaved_from(place) : place, row = at.row + group * 64 + place;
  const bool isFloat = f.outputType == CMGLU_F32;
  const bool isNarrow = f.outputType == (BF16 ? CMGLU_BF16 : CMGLU_F16) && !f.accumulate;
  const bool isWide = (isFloat || isNarrow) && row + 4 <= f.rows && f.outputStride % 4 == 0 &&
                      (u64)f.output % (isFloat ? 16 : 8) == 0;
#pragma unroll
  for (int first = 0; first < COLUMNS; first += CHUNK) {
    const int column = at.column + first, count = min(CHUNK, f.batch - column);
    if (count <= 0) break;
    const long long index = (column + (thread >> 4)) * f.outputStride + row;
    group_barrier(group);
#pragma unroll
    for (int j = 0; j < CHUNK / 8; j++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int own = (first / 8 + j) * 4 + i, to = j * 8 + (lane & 3) * 2 + (i & 1);
        const float a = PASSES > 1 ? terms[(own * 2 + 1) * GROUPS * 128]
                                   : result(f, sum, own, sum[SUMS - 1][own], 0.f, 0, column + to);
        out[to * PITCH + warp * 16 + (lane >> 2) + (i >> 1) * 8] = a;
      }
    group_barrier(group);
#pragma unroll 1
    for (int c = thread >> 4; c < count; c += 8) {
      const float *values = out + c * PITCH + from;
      float4 a;
      if (INTERLEAVED) {
        const float2 low = *(const float2 *)values, high = *(const float2 *)(values + 8);
        a = make_float4(low.x, low.y, high.x, high.y);
      } else {
        a = *(const float4 *)values;
      }
      const long long to = index + (c - (thread >> 4)) * f.outputStride;
      if (isWide && isNarrow) {
        *(uint2 *)((u16 *)f.output + to) = make_uint2(narrow(a.x, a.y), narrow(a.z, a.w));
      } else if (isWide && !f.accumulate) {
        *(float4 *)((float *)f.output + to) = a;
      } else if (isWide) {
        asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"((float *)f.output + to),
                     "f"(a.x), "f"(a.y), "f"(a.z), "f"(a.w) : "memory");
      } else {
#pragma unroll 1
        for (int i = 0; i < min(4, f.rows - row); i++) {
          const float value = i == 0 ? a.x : i == 1 ? a.y : i == 2 ? a.z : a.w;
          const float before = f.accumulate ? load(f.output, f.outputType, to + i) : 0.f;
          store(f.output, f.outputType, to + i, before + value);
        }
      }
    }
  }
}

// Sums of products of a warp's 16 rows of W with the rows of x of a tile, over `iterations` cells from
// the stage on, under the masks of a pass; HAS_T where those without masks are among them.
template <bool HAS_T>
__device__ __forceinline__ void multiply_cells(
    float (&sum)[SUMS][COLUMNS / 2], const unsigned char *xs, const unsigned char *own, u32 full,
    u32 empty, int pass, int iterations, int &stage, u32 &parity) {
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int s = 0; s < SUMS; s++)
#pragma unroll
    for (int i = 0; i < COLUMNS / 2; i++) sum[s][i] = 0.f;
  // Registers that products read stay as they are until the next group of them is under way: words
  // of W take turns by 32 columns, masked ones by groups.
  Weights w[2];
  const int words_at = PLANES * PLANE_BYTES + pass * OF_PASS * 128;
  u32 words[OF_PASS + 1], masked[2][OF_WAVE][4];
  barrier_wait(full + stage * 8, parity);
  load_weights(w[0], own + stage * W_BYTES, 0, lane);
  load_words<OF_PASS>(words, own + stage * W_BYTES + words_at, lane);
  for (int i = 0; i < iterations; i++) {
    const u64 x = describe(shared_address(xs + stage * X_BYTES));
    const int next = stage + 1 == STAGES ? 0 : stage + 1;
#pragma unroll
    for (int step = 0; step < 4; step++)
#pragma unroll
      for (int wave = 0; wave < WAVES; wave++) {
        const int block = step / 2, turn = (step * WAVES + wave) % 2;
        const u32(&a)[4] = w[block].of[0][step % 2], (&v)[4] = w[block].of[PLANES - 1][step % 2];
#pragma unroll
        for (int m = 0; m < OF_WAVE; m++) {
          const int mask = wave * OF_WAVE + m;
          if (mask < OF_PASS)
#pragma unroll
            for (int r = 0; r < 4; r++)
              masked[turn][m][r] = a[r] ^ (words[mask] * POWERS[step * 4 + r] & 0x80008000u);
        }
        fence_registers();
        if (wave == 0 && HAS_T) {
          multiply_async(sum[PLANES == 2 ? 0 : SUMS - 1], a[0], a[1], a[2], a[3], x + step * 2);
          if (PLANES == 2) multiply_async(sum[1 % SUMS], v[0], v[1], v[2], v[3], x + step * 2);
        }
#pragma unroll
        for (int m = 0; m < OF_WAVE; m++) {
          const int mask = wave * OF_WAVE + m;
          const u32(&s)[4] = masked[turn][m];
          if (mask < OF_PASS)
            multiply_async(sum[min(mask, SUMS - 1)], s[0], s[1], s[2], s[3], x + step * 2);
        }
        commit_products();
        wait_for_products<1>();
        // What the 32 columns before took is free.
        if (step == 0 && wave == 0) {
          if (i > 0 && lane == 0) arrive(empty + (stage == 0 ? STAGES - 1 : stage - 1) * 8);
          load_weights(w[1], own + stage * W_BYTES, 1, lane);
        } else if (step == 2 && wave == 0 && i + 1 < iterations) {
          barrier_wait(full + next * 8, next == 0 ? parity ^ 1 : parity);
          load_weights(w[0], own + next * W_BYTES, 0, lane);
        }
      }
    if (i + 1 < iterations) load_words<OF_PASS>(words, own + next * W_BYTES + words_at, lane);
    stage = next;
    if (stage == 0) parity ^= 1;
  }
  wait_for_products<0>();
  if (lane == 0) arrive(empty + (stage == 0 ? STAGES - 1 : stage - 1) * 8);
}

// Segments of a tile add to the output in order: `turns` tells each warpgroup whose turn it is, and the last one
// leaves a zero.
__device__ __forceinline__ void wait_for_turn(const FusedLinear &f, const Work &at, int group) {
  const u32 *turn = f.turns + at.tile * GROUPS + group;
  if ((threadIdx.x & 127) == 0) {
    u32 now;
    do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(turn) : "memory");
    while (now != at.first / f.segment);
  }
  group_barrier(group);
}

__device__ __forceinline__ void pass_turn(const FusedLinear &f, const Work &at, int group) {
  __threadfence();
  group_barrier(group);
  const int next = at.first / f.segment + 1;
  if ((threadIdx.x & 127) == 0)
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(f.turns + at.tile * GROUPS + group),
                 "r"(next == segment_count(f) ? 0 : next) : "memory");
}

extern "C" __global__ void __launch_bounds__(GROUPS * 128 + 128, 1)
fused_linear_prompt(
    const __grid_constant__ FusedLinear f, const __grid_constant__ TensorMap rowsMap,
    const __grid_constant__ TensorMap cellsMap) {
  extern __shared__ __align__(1024) unsigned char memory[];
  // [x STAGES][W STAGES][results GROUPS x CHUNK x PITCH][terms COLUMNS / 2][full STAGES][empty STAGES]
  unsigned char *xs = memory, *ws = xs + STAGES * X_BYTES, *outs = ws + STAGES * W_BYTES;
  const u32 full = shared_address(outs + OUTPUT_BYTES + TERM_BYTES), empty = full + STAGES * 8;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < STAGES; stage++) {
      barrier_init(full + stage * 8);
      asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(empty + stage * 8), "r"(GROUPS * 4)
                   : "memory");
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  launch_dependents();

  if (warp >= GROUPS * 4) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (lane == 0 && warp == GROUPS * 4)
      fill_weights(f, cellsMap, shared_address(ws), full, empty);
    else if (lane == 0 && warp == GROUPS * 4 + 1)
      fill_input(f, rowsMap, shared_address(xs), full, empty);
    return;
  }
  asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
  wait_for_input();

  const int group = warp >> 2, count = work_count(f);
  const unsigned char *own = ws + warp * CELL_BYTES;
  float *terms = (float *)(outs + OUTPUT_BYTES) + threadIdx.x;
  int stage = 0;
  u32 parity = 0;
  for (int index = blockIdx.x; index < count; index += gridDim.x) {
    const Work at = work(f, index);
    for (int first = at.first; first < at.end;) {
      const int end = STREAMS == 1 && f.segment ? min(at.end, first + f.segment) : at.end;
      float sum[SUMS][COLUMNS / 2];
      multiply_cells<true>(sum, xs, own, full, empty, 0, end - first, stage, parity);
      if (PASSES > 1) add_terms(f, sum, terms, at, 0);
#pragma unroll 1
      for (int pass = 1; pass < PASSES; pass++) {
        multiply_cells<false>(sum, xs, own, full, empty, pass, end - first, stage, parity);
        add_terms(f, sum, terms, at, pass);
      }
      if (STREAMS == 1 && f.turns) wait_for_turn(f, at, group);
      write_results(f, sum, terms, (float *)outs + group * CHUNK * PITCH, at, group);
      if (STREAMS == 1 && f.turns) pass_turn(f, at, group);
      if (STREAMS > 1) break;
      first = end;
    }
  }
}
