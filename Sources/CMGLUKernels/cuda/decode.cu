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

#define HELPERS
#define MASKS 0
#define PLANES 1
namespace projection {
#include "flash.cu"
}
#undef MASKS
#undef PLANES
#define MASKS UNIT_MASKS
#define PLANES UNIT_PLANES
namespace unit {
#include "flash.cu"
}
#undef MASKS
#undef PLANES
namespace attend {
#include "attention.cu"
}
#undef HELPERS

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

#include "exchange.cu"
#include "ring.cu"

// threadIdx.x, anew: what is computed from it is not kept in registers across a layer.
__device__ __forceinline__ int thread_index() {
  int index;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(index));
  return index;
}

// Of the threads that compute.
__device__ __forceinline__ void meet() { asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory"); }

// Copies -----------------------------------------------------------------------------------------

// Copies this block's tiles of a matrix.
__device__ __forceinline__ void copy_tiles(
    Filling &filling, const unsigned char *cells, int rows, int columns, int first, int planes,
    int bytes, int lane, u64 policy) {
  const int across = columns / 64, own = across / WARPS;
  for (int tile = first; tile < rows / 16; tile += gridDim.x)
    for (int cell = 0; cell < own; cell++)
      for (int plane = 0; plane < planes; plane++) {
        begin_stage(filling, bytes, WARPS * bytes, lane);
        if (lane < WARPS)
          copy(filling.ring, lane, 0,
               cells + (((long long)tile * across + lane * own + cell) * planes + plane) * bytes, bytes,
               policy);
        filling.ring.next(bytes);
      }
}

// A block's part of attention: query heads and positions.
struct Part {
  int group, split;  // of query heads, of positions
  int kv;
  bool writes;       // the new row to the cache
  int from, to;      // positions, none for a block without a part

  __device__ __forceinline__ Part(const Decode &d, int position) {
    const int across = d.heads / QUERIES, groups = d.heads / d.kvHeads / QUERIES;
    group = blockIdx.x % across, split = blockIdx.x / across, kv = group / groups;
    writes = split == 0 && group % groups == 0;
    const int share = (position + d.splits) / d.splits;
    from = split * share, to = split < d.splits ? min(position + 1, from + share) : 0;
  }
};

// Copies this block's part of a cache: to each warp its next positions' keys, then their values.
__device__ __forceinline__ void copy_cache(
    const Decode &d, Filling &filling, const Layer &layer, const Part &part, int lane, u64 policy) {
  const long long cache = (long long)part.kv * d.capacity * HEAD;
  for (int from = part.from; from < part.to; from += WARPS * attend::AHEAD) {
    const int count = min(part.to - from, WARPS * attend::AHEAD);
    begin_stage(filling, PLANE, count * HEAD * 8, lane);
    const int own = min(count - lane * attend::AHEAD, attend::AHEAD);
    if (lane < WARPS && own > 0) {
      const long long at = cache + (long long)(from + lane * attend::AHEAD) * HEAD;
      copy(filling.ring, lane, 0, layer.keys + at, own * HEAD * 4, policy);
      copy(filling.ring, lane, PLANE / 2, layer.values + at, own * HEAD * 4, policy);
    }
    filling.ring.next(PLANE);
  }
}

// Products ---------------------------------------------------------------------------------------

// What every matrix's part needs.
struct Block {
  Ring ring;
  Layer *layers;
  unsigned char *xs;
  float *partial, *scratch;
  float *residual;  // of this block's tiles
  int round;
};

// An input in the weights' type, from words.
__device__ __forceinline__ void stage_input(
    const Decode &d, Block &block, const u64 *words, int columns, u32 epoch) {
  const int thread = thread_index();
  const int stride = projection::input_stride(columns), step = THREADS * 8;
  projection::Flash f;
  f.pieces = d.pieces;
  for (int k = thread * 8; k < columns; k += step) {
    float value[8];
    await_chunk(words + k, epoch, thread & 31, value);
    projection::store_chunk(f, block.xs, stride, 0, k, value);
  }
  meet();
}

// A normalised input, from words or from `plain`: at most as long as the threads can hold.
__device__ __forceinline__ void stage_normalised(
    const Decode &d, Block &block, const u64 *words, const float *plain, const float *norm,
    u32 epoch) {
  const int thread = thread_index();
  const int stride = projection::input_stride(d.hidden), step = THREADS * 8;
  projection::Flash f;
  f.pieces = d.pieces;
  // Weights are on their way while the input is waited for; beyond its end all are zeros.
  float value[NORMALISED][8] = {}, weight[NORMALISED][8] = {}, sum = 0.f;
#pragma unroll
  for (int a = 0; a < NORMALISED; a++) {
    const int k = thread * 8 + a * step;
    if (k < d.hidden) {
      *(float4 *)weight[a] = *(const float4 *)(norm + k);
      *(float4 *)(weight[a] + 4) = *(const float4 *)(norm + k + 4);
    }
  }
#pragma unroll
  for (int a = 0; a < NORMALISED; a++) {
    const int k = thread * 8 + a * step;
    if (k < d.hidden) {
      if (plain) {
        *(float4 *)value[a] = *(const float4 *)(plain + k);
        *(float4 *)(value[a] + 4) = *(const float4 *)(plain + k + 4);
      } else {
        await_chunk(words + k, epoch, thread & 31, value[a]);
      }
    }
    sum += projection::squares(value[a]);
  }
  sum = projection::warp_sum(sum);
  if ((thread & 31) == 0) block.scratch[thread >> 5] = sum;
  meet();
  float total = 0.f;
#pragma unroll
  for (int w = 0; w < WARPS; w++) total += block.scratch[w];
  const float scale = rsqrtf(total / d.hidden + d.epsilon);
#pragma unroll
  for (int a = 0; a < NORMALISED; a++) {
    const int k = thread * 8 + a * step;
#pragma unroll
    for (int i = 0; i < 8; i++) value[a][i] *= scale * weight[a][i];
    if (k < d.hidden) projection::store_chunk(f, block.xs, stride, 0, k, value[a]);
  }
  meet();
}

// This block's tiles of a matrix over the staged input. Results become words; what adds to the
// residual does so first.
template <bool isUnit>
__device__ __forceinline__ void multiply_tiles(
    const Decode &d, Block &block, int rows, int columns, int first, u64 *words, bool isResidual,
    u32 epoch) {
  constexpr int MASKS = isUnit ? UNIT_MASKS : 0, PLANES = isUnit ? UNIT_PLANES : 1;
  constexpr int STREAMS = isUnit ? unit::STREAMS : 1, TERMS = isUnit ? unit::TERMS : 1;
  const int thread = thread_index();
  const int lane = thread & 31, warp = thread >> 5, own = columns / 64 / WARPS;
  const unsigned char *x = block.xs + (lane & 3) * 16 + warp * own * 128 +
                           min(lane >> 2, d.pieces - 1) * projection::input_stride(columns);
  const int sums = WARPS * unit::STREAMS * 16 * d.pieces;
  Ring &ring = block.ring;
  unit::Flash f;
  f.activation = d.activation, f.gating = d.gating;
  for (int tile = first; tile < rows / 16; tile += gridDim.x, block.round++) {
    const int item = (thread + (block.round & 1) * (THREADS / 2)) % THREADS;
    const int row = tile * 16 + item / TERMS;
    float sum[STREAMS][1][4] = {};
    for (int cell = 0; cell < own; cell++) {
      const unsigned char *from = ring.part(warp);
      const u32 empty = ring.empty + ring.stage * 8;
      projection::barrier_wait(ring.full + ring.stage * 8, ring.parity);
      ring.next(isUnit ? CELL : PLANE);
      if constexpr (isUnit) {
        int stride = 0;
        const u32 second = ring.empty + ring.stage * 8;
        if (PLANES == 2) {
          stride = (int)(ring.part(warp) - from);
          projection::barrier_wait(ring.full + ring.stage * 8, ring.parity);
          ring.next(PLANE);
        }
        unit::add_cell(sum, from, stride, x + cell * 128, x, lane);
        if (PLANES == 2) release(second, lane);
      } else {
        projection::add_cell(sum, from, 0, x + cell * 128, x, lane);
      }
      release(empty, lane);
    }

    // [warp][piece][row 16][STREAMS]
    float *all = block.partial + (block.round & 1) * sums;
#pragma unroll
    for (int stream = 0; stream < STREAMS; stream++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int column = (lane & 3) * 2 + (i & 1), at = (lane >> 2) + (i >> 1) * 8;
        if (column < d.pieces)
          all[((warp * d.pieces + column) * 16 + at) * STREAMS + stream] = sum[stream][0][i];
      }
    meet();
    if (item >= 16 * TERMS) continue;
    const int mask = item % TERMS;
    float s = 0.f, t = 0.f;
    for (int piece = 0; piece < d.pieces; piece++)
#pragma unroll
      for (int w = 0; w < WARPS; w++) {
        const float *from = all + ((w * d.pieces + piece) * 16 + item / TERMS) * STREAMS;
        t += from[STREAMS - 1];
        if (STREAMS > 1) s += from[MASKS > 0 ? min(mask, MASKS - 1) : 0];
      }
    float a = t;
    if constexpr (isUnit) {
      a = mask < max(MASKS, 1) ? unit::combine(s, t, f) : 0.f;
#pragma unroll
      for (int other = 1; other < TERMS; other *= 2) a += __shfl_xor_sync(~0u, a, other);
    }
    if (mask > 0) continue;
    if (isResidual) {
      float &kept = block.residual[tile / gridDim.x * 16 + item];
      d.residual[row] = kept = a += kept;
    }
    publish(words + row, a, epoch);
  }
}

// Attention --------------------------------------------------------------------------------------

// What the warps of a block share while they attend.
struct Attending {
  float added[QUERIES + 2][HEAD];  // the new row's queries, key and value, as they are computed
  float found[WARPS][QUERIES][HEAD + 2];
};

__device__ __forceinline__ void attention_of_block(
    const Decode &d, Ring &ring, const Layer &layer, const Exchange &words, const Part &part,
    int position, u32 epoch, int l, const float (&cosine)[attend::PAIRS],
    const float (&sine)[attend::PAIRS], Attending &shared) {
  using attend::HALF, attend::PAIRS, attend::KeyValue, attend::Running, attend::load_pairs;
  const int thread = thread_index();
  const int lane = thread & 31, warp = thread >> 5;
  const int first = part.group * QUERIES;
  if (part.split >= d.splits) return;

  auto load_added = [&](int which, bool isRotated, float (&pairs)[PAIRS][2]) {
    load_pairs(shared.added[which], lane, pairs);
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++)
      if (isRotated) attend::rotate(pairs[pair][0], pairs[pair][1], cosine[pair], sine[pair]);
  };
  for (int item = thread; item < (QUERIES + 2) * HEAD; item += THREADS) {
    const int which = item / HEAD - QUERIES;
    const int head = which < 0 ? first + which + QUERIES : d.heads + which * d.kvHeads + part.kv;
    (&shared.added[0][0])[item] = await(words.qkv + head * HEAD + item % HEAD, epoch);
  }
  meet();
  STEP_MARK(l, 10);
  float query[QUERIES][PAIRS][2];
#pragma unroll
  for (int q = 0; q < QUERIES; q++) {
    load_added(q, true, query[q]);
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++) {
      query[q][pair][0] *= d.scale * 1.44269504f;
      query[q][pair][1] *= d.scale * 1.44269504f;
    }
  }
  Running running[QUERIES];
  attend::clear(running);
  for (int from = part.from; from < part.to; from += WARPS * attend::AHEAD) {
    const int j = from + warp * attend::AHEAD;
    const float *keys = (const float *)ring.part(warp);
    const float *values = keys + PLANE / 8;
    projection::barrier_wait(ring.full + ring.stage * 8, ring.parity);
    KeyValue rows[attend::AHEAD] = {};
#pragma unroll
    for (int ahead = 0; ahead < attend::AHEAD; ahead++)
      if (j + ahead == position) {
        load_added(QUERIES, true, rows[ahead].key);
        load_added(QUERIES + 1, false, rows[ahead].value);
      } else if (j + ahead < part.to) {
        load_pairs(keys + ahead * HEAD, lane, rows[ahead].key);
        load_pairs(values + ahead * HEAD, lane, rows[ahead].value);
      }
    release(ring.empty + ring.stage * 8, lane);
    ring.next(PLANE);
    if (j < part.to) attend::add_rows(running, query, rows, part.to - j);
  }
  STEP_MARK(l, 11);
  // The new row goes to the cache.
  if (part.writes && warp == 0) {
    KeyValue added;
    load_added(QUERIES, true, added.key);
    load_added(QUERIES + 1, false, added.value);
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++) {
      const int i = pair * 32 + lane;
      const long long at = ((long long)part.kv * d.capacity + position) * HEAD + i;
      if (i < HALF) {
        layer.keys[at] = added.key[pair][0], layer.keys[at + HALF] = added.key[pair][1];
        layer.values[at] = added.value[pair][0], layer.values[at + HALF] = added.value[pair][1];
      }
    }
  }

  attend::leave(running, shared.found[warp], lane);
  meet();
  u64 *all = words.found + (long long)part.group * d.splits * QUERIES * (HEAD + 2);
  for (int item = thread; item < QUERIES * HEAD; item += THREADS) {
    const int q = item / HEAD, i = item % HEAD;
    float largest, sum;
    const float value = attend::merge(shared.found, q, i, largest, sum);
    u64 *own = all + (part.split * QUERIES + q) * (HEAD + 2);
    publish(own + i, value, epoch);
    if (i == 0) publish(own + HEAD, largest, epoch), publish(own + HEAD + 1, sum, epoch);
  }
  STEP_MARK(l, 12);
  for (int item = thread * d.splits + part.split; item < QUERIES * HEAD; item += THREADS * d.splits) {
    const int q = item / HEAD, i = item % HEAD;
    u64 word[SPLITS][3];
    const u64 *first_found = all + q * (HEAD + 2);
    bool is_here;
    do {
      is_here = true;
#pragma unroll
      for (int s = 0; s < SPLITS; s++)
#pragma unroll
        for (int which = 0; which < 3; which++)
          if (s < d.splits)
            word[s][which] = look(
                first_found + s * QUERIES * (HEAD + 2) + (which == 2 ? i : HEAD + which));
#pragma unroll
      for (int s = 0; s < SPLITS; s++)
#pragma unroll
        for (int which = 0; which < 3; which++)
          if (s < d.splits) is_here = is_here && is_current(word[s][which], epoch);
    } while (!is_here);
    float largest = -3.0e38f, sum = 0.f, value = 0.f;
    auto number = [&](int s, int which) { return __uint_as_float((u32)word[s][which]); };
#pragma unroll
    for (int s = 0; s < SPLITS; s++)
      if (s < d.splits) largest = fmaxf(largest, number(s, 0));
#pragma unroll
    for (int s = 0; s < SPLITS; s++)
      if (s < d.splits) {
        const float factor = exp2f(number(s, 0) - largest);
        sum += factor * number(s, 1);
        value += factor * number(s, 2);
      }
    publish(words.attended + first * HEAD + item, value / sum, epoch);
  }
}

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
