// decode: all layers of a decoder for one row, in one kernel that never stops reading weights.
//
// What a layer's five kernels (flash.cu, attention.cu) compute, bit for bit. A block stays on each
// multiprocessor. One warp of it copies the block's share of all weights, of all layers in order,
// through one ring of shared memory: weights depend on nothing, so the memory is busy while the
// eight others wait for each other's results, as long as the ring has room.
//
// Exchange. A result is a word of 64 bits, the number and the epoch it belongs to, written at once;
// who needs it reads the word until the epoch is there. That is one way through the L2 and one back,
// without fences, counters, or anything to clear. A word is written again only in the next layer,
// by a block whose input depends on everyone who read it. All blocks must be on the GPU together:
// there are no more of them than multiprocessors, and each takes all of one's shared memory.
//
// Work. Tiles of 16 rows go to blocks in turn, those of query, key and value from the last block
// on, so that who has one more of these has one less of the others. Each block adds to the residual
// where it alone writes it. Attention is split as in attention.cu: a block for every QUERIES query
// heads and split of the positions; blocks of different splits merge an equal share each.
//
// Variants UNIT_MASKS, UNIT_PLANES and BF16 of the unit, as in flash.cu; HEAD and QUERIES as in
//          attention.cu.
// Launch   a block of 288 threads on each multiprocessor, in plain order or after kernels that wait
//          for theirs. Columns are multiples of 512, HEAD is 64 at most. Compute capability 9.0.
//
// Measured on an H100 in a step of 16 layers of h 2048, d 8192, 32 heads, 8 key-value heads, position
// 512, FP16 (2026-11-25), microseconds a layer; bytes at 3.09 TB/s:
//                this   chain   bytes
//     SwiGLU     47.5    55.1    39.4
//     n_m = 8    46.8    54.3    33.9   (before the ring was shared out by bytes)
//     n_m = 4    40.8    50.6    31.2
//     n_m = 1    37.1    47.5    29.2
// Steps on the way, SwiGLU: all threads ask for all they want until it is there, 85.7; every second
// lane asks for a tile's first word, 52.2; the cache through the ring, so that no load that memory
// serves is ahead of those (they return in order), 47.0. Three stages on their way 48.1, one 58.9;
// half the ring 52.1. All threads asking with pauses of 100 ns between 53.4, once before every second
// lane does 50.7. A ring of bytes in place of one of equal stages: 0.7 less with 4 masks, whose cells
// are a quarter larger than others, nothing without masks or with one.

#ifndef UNIT_MASKS
#define UNIT_MASKS 1
#endif
#ifndef UNIT_PLANES
#define UNIT_PLANES 1
#endif

#define MASKS 0
#define PLANES 1
namespace projection {
#include "flash_unit.cu"
}
#undef MASKS
#undef PLANES
#define MASKS UNIT_MASKS
#define PLANES UNIT_PLANES
namespace unit {
#include "flash_unit.cu"
}
#undef MASKS
#undef PLANES
namespace attend {
#include "attention_rows.cu"
}

using projection::u32;
using projection::u64;

// Points of a block's life, which Benchmarks/cuda/decode_step.cu takes the time of.
#ifndef STEP_MARK
#define STEP_MARK(layer, point)
#endif

constexpr int WARPS = 8;
constexpr int THREADS = WARPS * 32;  // that compute
constexpr int NORMALISED = 2;        // chunks of an input with a norm that a thread holds
constexpr int SPLITS = 8;            // most that positions are split into
// Stages on their way at a time: small reads queue behind more of them, and one leaves the memory idle.
constexpr int WINDOW = 2;
constexpr int MOST_LAYERS = 48;      // that an argument has room for
// A warp's part of a stage of the ring: a plane of a cell, or a whole cell of a masked unit.
constexpr int PLANE = projection::CELL_BYTES;
constexpr int CELL = UNIT_PLANES == 2 ? PLANE : unit::CELL_BYTES;
static_assert(attend::AHEAD * HEAD * 8 <= PLANE, "a warp's rows of the cache take a part of a stage");

// Mirrored by cmglu_cuda_layer in cmglu_cuda.h.
struct Layer {
  const unsigned char *qkv, *output, *up, *down;
  const float *inputNorm, *unitNorm;
  float *keys, *values;  // [kvHeads][capacity][HEAD]
};

// Mirrored by cmglu_cuda_decode in cmglu_cuda.h.
struct Decode {
  const int *position;
  float *residual;  // [hidden]
  const float *cosine, *sine;
  u64 *words;  // exchanged: see `exchanged`; zero at first
  int count, hidden, intermediate, heads, kvHeads, capacity;
  int pieces, activation, gating;
  int splits;     // of the positions
  int ringBytes;  // of a warp
  int stages;     // that the ring holds at most
  float scale, epsilon;
  Layer layers[MOST_LAYERS];
};

#include "decode_exchange.cu"
#include "decode_ring.cu"

// threadIdx.x, anew: what is computed from it is not kept in registers across a layer.
__device__ __forceinline__ int thread_index() {
  int index;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(index));
  return index;
}

// Of the threads that compute.
__device__ __forceinline__ void meet() { asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory"); }

#include "decode_share.cu"
#include "decode_products.cu"
#include "decode_attention.cu"

// Kernel -----------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(THREADS + 32, 1)
decode(const __grid_constant__ Decode d) {
#if __CUDA_ARCH__ == 900  // it is launched nowhere else
  extern __shared__ __align__(128) unsigned char memory[];
  __shared__ Attending attending;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int attended = d.heads * HEAD, qkv = attended + 2 * d.kvHeads * HEAD;
  const int own = blockIdx.x, reversed = gridDim.x - 1 - blockIdx.x;

  // [ring][barriers][x][sums 2 x WARPS x STREAMS x 16 x pieces][scratch][residual][layers]
  Block block;
  Ring &ring = block.ring;
  ring.memory = memory, ring.bytes = d.ringBytes, ring.stages = d.stages;
  ring.offset = ring.stage = ring.parity = 0;
  unsigned char *after = memory + WARPS * d.ringBytes;
  ring.full = projection::shared_address(after), ring.empty = ring.full + d.stages * 8;
  block.xs = after + (d.stages * 16 + 127) / 128 * 128;
  block.partial =
      (float *)(block.xs + d.pieces * projection::input_stride(
                                    max(max(attended, d.hidden), d.intermediate)));
  block.scratch = block.partial + 2 * WARPS * unit::STREAMS * 16 * d.pieces;
  block.residual = block.scratch + WARPS;
  block.layers = (Layer *)(block.residual + (d.hidden / 16 + gridDim.x - 1) / gridDim.x * 16);
  block.round = 0;
  for (int i = threadIdx.x; i < d.count * (int)sizeof(Layer) / 8; i += THREADS + 32)
    ((u64 *)block.layers)[i] = ((const u64 *)d.layers)[i];
  if (threadIdx.x == 0)
    for (int stage = 0; stage < d.stages; stage++) {
      asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(ring.full + stage * 8) : "memory");
      asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(ring.empty + stage * 8), "n"(WARPS)
                   : "memory");
    }
  if (threadIdx.x == 0) asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  __syncthreads();
  projection::launch_dependents();

  if (warp == WARPS) {
    u64 policy;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    Filling filling = {ring, ring, 0, 0, 0};
    int position = 0;
    for (int l = 0; l < d.count; l++) {
      const Layer &layer = block.layers[l];
      const auto tiles = [&](const unsigned char *cells, int rows, int columns, int first, int planes,
                            int bytes) {
        copy_tiles(filling, cells, rows, columns, first, planes, bytes, lane, policy);
      };
      tiles(layer.qkv, qkv, d.hidden, reversed, 1, PLANE);
      if (l == 0) projection::wait_for_input(), position = *d.position;
      copy_cache(d, filling, layer, Part(d, position), lane, policy);
      tiles(layer.output, d.hidden, attended, own, 1, PLANE);
      tiles(layer.up, d.intermediate, d.hidden, own, UNIT_PLANES, CELL);
      tiles(layer.down, d.hidden, d.intermediate, own, 1, PLANE);
    }
    return;
  }

  projection::wait_for_input();
  const Exchange words = exchanged(d);
  for (int tile = own; tile < d.hidden / 16; tile += gridDim.x)
    if (threadIdx.x < 16)
      block.residual[tile / gridDim.x * 16 + threadIdx.x] = d.residual[tile * 16 + threadIdx.x];
  const int position = *d.position;
  const Part part(d, position);
  // Of the new row's rotation, for this lane's pairs.
  float cosine[attend::PAIRS], sine[attend::PAIRS];
#pragma unroll
  for (int pair = 0; pair < attend::PAIRS; pair++) {
    const int i = position * attend::HALF + min(pair * 32 + lane, attend::HALF - 1);
    cosine[pair] = d.cosine[i], sine[pair] = d.sine[i];
  }
  u32 epoch = *words.epoch;
  for (int l = 0; l < d.count; l++) {
    const Layer &layer = block.layers[l];
    const u32 before = epoch++;
    STEP_MARK(l, 0);
    if (reversed < qkv / 16) {
      stage_normalised(
          d, block, words.afterDown, l == 0 ? d.residual : nullptr, layer.inputNorm, before);
      STEP_MARK(l, 1);
      multiply_tiles<false>(d, block, qkv, d.hidden, reversed, words.qkv, false, epoch);
    }
    STEP_MARK(l, 2);
    attention_of_block(d, ring, layer, words, part, position, epoch, l, cosine, sine, attending);
    STEP_MARK(l, 3);
    if (own < d.hidden / 16) {
      stage_input(d, block, words.attended, attended, epoch);
      STEP_MARK(l, 4);
      multiply_tiles<false>(
          d, block, d.hidden, attended, own, words.afterOutput, true, epoch);
    }
    STEP_MARK(l, 5);
    if (own < d.intermediate / 16) {
      stage_normalised(d, block, words.afterOutput, nullptr, layer.unitNorm, epoch);
      STEP_MARK(l, 6);
      multiply_tiles<true>(d, block, d.intermediate, d.hidden, own, words.inner, false, epoch);
    }
    STEP_MARK(l, 7);
    if (own < d.hidden / 16) {
      stage_input(d, block, words.inner, d.intermediate, epoch);
      STEP_MARK(l, 8);
      multiply_tiles<false>(
          d, block, d.hidden, d.intermediate, own, words.afterDown, true, epoch);
    }
    STEP_MARK(l, 9);
  }
  // Everyone has read it: what this block got depends on all the others.
  if (blockIdx.x == 0 && threadIdx.x == 0) *words.epoch = epoch;
#endif
}
