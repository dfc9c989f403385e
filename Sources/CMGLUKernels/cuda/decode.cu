// decode: a decoder's step for one row, from a token to logits, in one kernel that never stops
// reading weights.
//
// What the embedding (tokens.cu), a layer's five kernels (fused_linear.cu, attention*.cu) and the head's
// compute, bit for bit. A block stays on each multiprocessor. One thread of it copies the block's share
// of all weights, in their order, through one ring of shared memory, and a little further to the L2:
// weights depend on nothing, so the memory is busy while eight warps wait for other blocks' results.
//
// Exchange. A result is a word of 64 bits, the number and the epoch it belongs to, written at once;
// who needs it reads the word until the epoch is there. That is one way through the L2 and one back,
// without fences, counters, or anything to clear. A word is written again only in the next layer,
// by a block whose input depends on everyone who read it. All blocks must be on the GPU together:
// there are no more of them than multiprocessors, and each takes all of one's shared memory.
//
// Work. Tiles of 16 rows go to blocks in turn, those of query, key and value and of the head from the
// last block on, so that who has one more of these has one less of the others. Each block adds to the
// residual where it alone writes it. Attention is split as in attention_decode.cu and attention.cu: a
// block for every QUERIES query heads and split of the positions; blocks of different splits merge an equal
// share each.
//
// Variants UNIT_MASKS, UNIT_PLANES, BF16 and INT8 of the unit, as in fused_linear.cu; HEAD, QUERIES and BITS of
//          the cache, as in attention.cu: 16 with inputs in one piece, whose queries, keys and values
//          are rounded to the weights' type, else 32.
// Launch   a block of 288 threads on each multiprocessor, in order or before the kernels ahead are done,
//          if they are started so that this one's blocks find room together. Columns are multiples of
//          64, those of an input with a norm at most 4096, HEAD is 32 or 64, and layers at most 48. Compute
//          capability 9.0.
//
// Measured on an H100 (2026-11-26): a step of 16 layers of h 2048, d 8192, 32 heads, 8 key-value heads,
// position 512, 50,257 tokens, FP16, inputs in one piece and a cache of 16 bits, and in two pieces and a
// cache of 32, with the choice of the token (tokens_sample.cu), steps one after the other
// (Benchmarks/cuda/decode_step.cu); microseconds, and those of the bytes at 3.09 TB/s:
//                16 bits   32 bits   bytes   the chain, without choice, over a cache in one piece (2026-11-25)
//     SwiGLU         782       792     697   957
//     n_m = 4        676       686     566   886
//     n_m = 1        626       633     534   842
// At position 1000: 785 and 806, 679 and 700, 632 and 651. With positions split in eight by their number
// and 32 bits (2026-11-25): 795 and 805, 682 and 696, 641 and 646.
// Steps on the way, n_m = 4: a copy for each warp of a stage, and words in the order of their elements,
// of which lanes took eight each, 742; one copy a stage 762, though without waiting for results it is
// 2.91 TB/s in place of 2.68; words in the order in which lanes take two of each eighth, whole lines
// at a time, 695; stages beyond a full ring to the L2, 685. Three stages on their way 723, one 814;
// spaced in time 690 to 860. Nothing came of loading a cell while the one before is multiplied (706),
// of norms that are not read, of more to the L2 or of one text for all steps of a layer (697).
// What bounds it: half of the time the ring is full, while eight warps stage inputs (1.1 us for the way
// of a result when memory is idle, 2.5 when it is busy), attend (4) and multiply masked cells (9 for
// what the memory needs 13.6 for, from a full ring).
// Small models wait for results, not for bytes (2026-11-27; in brackets the chain): SmolLM2-135M, 30 layers of
// h 576, d 1536, 9 heads, 3 key-value heads, SwiGLU 416 (628), n_m = 4 415 (641) of 87 and 74 for the bytes: 13.3
// us a layer, in which results go to other blocks six times; paper-small, 12 layers of h 768, d 3072, 24 heads of 32, 211 (327).
// Words that are taken without being asked for first cost them a tenth. One block for all chunks of a sequence,
// so that nobody waits for splits: SmolLM2 383 in place of 410 at position 100, but 460 in place of 420 at 512 and 524
// in place of 436 at 1000; n_m = 4 above 641 in place of 667 at 100, 674 in place of 662 at 512. Left out.
// INT8, the same, inputs in one piece, cache of FP16 (2026-11-26): SwiGLU 543 (370), n_m = 1 485 (289),
// n_m = 4 554 (321). The ring, half a layer, is full most of the time.

#ifndef UNIT_MASKS
#define UNIT_MASKS 1
#endif
#ifndef UNIT_PLANES
#define UNIT_PLANES 1
#endif

#include "cmglu_numbers.h"

#define MASKS 0
#define PLANES 1
namespace projection {
#include "fused_linear_unit.cu"
}
#undef MASKS
#undef PLANES
#define MASKS UNIT_MASKS
#define PLANES UNIT_PLANES
namespace unit {
#include "fused_linear_unit.cu"
}
#undef MASKS
#undef PLANES
namespace attend {
#include "attention_numbers.cu"
#include "attention_rotation.cu"
#if BITS == 16
#include "attention_chunk.cu"
#else
#include "attention_rows.cu"
#endif
}

using projection::u32;
using projection::u64;

// Points of a block's life, which Benchmarks/cuda/decode_step.cu takes the time of.
#ifndef STEP_MARK
#define STEP_MARK(layer, point)
#endif

constexpr int WARPS = 8;
constexpr int THREADS = WARPS * 32;  // that compute
constexpr int NORMALIZED = 2;        // chunks of an input with a norm that a thread holds
constexpr int AWAITED = 4;           // of one without that are waited for together,
constexpr int TAKEN = 2;             // and on their way
constexpr int SPLITS = 8;            // of positions
// Stages on their way at a time: small reads queue behind more of them, and one leaves the memory idle.
constexpr int WINDOW = INT8 && UNIT_PLANES == 2 ? 4 : 2;
constexpr int LEAD = 2;              // stages beyond a full ring that go to the L2
constexpr int MOST_LAYERS = 48;      // that an argument has room for
// A warp's part of a stage of the ring: a plane of a cell, or a whole cell of a masked unit.
constexpr int PLANE = projection::CELL_BYTES;
constexpr int CELL = UNIT_PLANES == 2 ? PLANE : unit::CELL_BYTES;
// And of a stage of a cache: a chunk of 16 bits or half of one of 32, keys and values.
constexpr int CACHE = PLANE < 2048 ? 2048 : PLANE, LARGEST = CELL < CACHE ? CACHE : CELL;

// Mirrored by cmglu_cuda_layer in cmglu_cuda.h.
struct Layer {
  const unsigned char *qkv, *output, *up, *down;
  const float *inputNorm, *unitNorm;
  attend::Element *keys, *values;  // [blocks][kvHeads][BLOCK][HEAD]
};

// Mirrored by cmglu_cuda_decode in cmglu_cuda.h.
struct Decode {
  const int *token, *position, *slot;
  const int *blockTables;                 // [slots][blocksPerSequence]
  const unsigned char *embedding, *head;  // cells of one plane
  const float *norm;                      // before the head
  float *residual;                        // [hidden], after the last layer
  float *logits;                          // [vocabulary], or null: they are not wanted
  const float *cosine, *sine;
  u64 *words;  // exchanged: see `exchanged`; zero at first
  int count, hidden, intermediate, vocabulary, heads, kvHeads, blocksPerSequence;
  int pieces, activation, gating;
  int ringBytes;
  int stages;     // that the ring holds at most
  float scale, epsilon;
  Layer layers[MOST_LAYERS];
};

// The steps of a layer. The head is the first step of one more.
enum { QKV, ATTENTION, OUTPUT, UP, DOWN };

__device__ __forceinline__ bool is_end(const Decode &d, int layer, int step) {
  return layer == d.count && (step > QKV || !d.logits);
}

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
#include "decode_filling.cu"
#include "decode_products.cu"
#include "decode_attention.cu"

// Kernel -----------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(THREADS + 32, 1)
decode(const __grid_constant__ Decode d) {
#if __CUDA_ARCH__ == 900  // it is launched nowhere else
  extern __shared__ __align__(128) unsigned char memory[];
  __shared__ Attending attending;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  // [ring][barriers][x][sums 2 x WARPS x STREAMS x 16 x pieces][scratch][residual][layers and head][blocks]
  Block block;
  Ring &ring = block.ring;
  ring.memory = memory, ring.bytes = d.ringBytes, ring.stages = d.stages;
  ring.offset = ring.stage = ring.parity = 0;
  unsigned char *after = memory + d.ringBytes;
  ring.full = projection::shared_address(after), ring.empty = ring.full + d.stages * 8;
  block.xs = after + (d.stages * 16 + 127) / 128 * 128;
  block.partial =
      (float *)(block.xs + d.pieces * projection::input_stride(
                                    max(max(d.heads * HEAD, d.hidden), d.intermediate)));
  block.scratch = block.partial + 2 * WARPS * unit::STREAMS * 16 * d.pieces;
  block.residual = block.scratch + WARPS;
  block.layers = (Layer *)(block.residual + (d.hidden / 16 + gridDim.x - 1) / gridDim.x * 16);
  block.round = 0;
  for (int i = threadIdx.x; i < d.count * (int)sizeof(Layer) / 8; i += THREADS + 32)
    ((u64 *)block.layers)[i] = ((const u64 *)d.layers)[i];
  if (threadIdx.x == 0) block.layers[d.count].qkv = d.head, block.layers[d.count].inputNorm = d.norm;
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
    if (lane == 0) Filling(d, block.layers, (int *)(block.layers + d.count + 1), ring).run();
    return;
  }

  projection::wait_for_input();
  const Exchange words = exchanged(d);
  for (int tile = blockIdx.x; tile < d.hidden / 16; tile += gridDim.x)
    if (threadIdx.x < 16)
      block.residual[tile / gridDim.x * 16 + threadIdx.x] =
          Embedded(d)[tile * 16 + threadIdx.x];
  const int position = *d.position;
  const Share share(d, position);
  const NewRow added(d, position, lane);
  const u32 epoch = *words.epoch;  // of the layer before the first
  for (int l = 0; l <= d.count; l++) {
    const Layer &layer = block.layers[l];
    const u32 now = epoch + l + 1;
#pragma unroll
    for (int step = QKV; step <= DOWN; step++) {
      if (is_end(d, l, step)) break;
      if (step == ATTENTION) {
        attention_of_block(d, ring, layer, words, share, added, now, l, attending);
        STEP_MARK(l, 3);
        continue;
      }
      const Matrix matrix(d, layer, l == d.count, step);
      if (matrix.first < matrix.tiles()) {
        const u64 *input = words.input(step);
        if (step == QKV)
          stage_normalized(d, block, input, l == 0, layer.inputNorm, now - 1);
        else if (step == UP)
          stage_normalized(d, block, input, false, layer.unitNorm, now);
        else
          stage_input(d, block, input, matrix.columns, now);
        STEP_MARK(l, 2 * step);
        u64 *output = l < d.count ? words.output(step) : nullptr;
        const bool isResidual = step == OUTPUT || step == DOWN;
        if (step == UP) multiply_tiles<true>(d, block, matrix, output, isResidual, now);
        else multiply_tiles<false>(d, block, matrix, output, isResidual, now);
      }
      STEP_MARK(l, 2 * step + 1);
    }
  }
  // Who comes here last moves it on: by then every block has read it, also one that has tiles of the
  // head alone, on which no other block's input depends. The count is 0 again.
  meet();
  if (threadIdx.x == 0 && atomicInc(words.finished, gridDim.x - 1) == gridDim.x - 1)
    *words.epoch = epoch + d.count;
#endif
}
