// attention: the new rows of one sequence over its cache of keys and values, with rotary positions.
//
// Problem   For each new row r at position p = positions[r], and each query head: rotate query and
//           key, store key and value at p, attend to the last `window` positions of 0...p. Softmax in
//           float32, online.
// Layout    qkv [rows][(heads + 2 kvHeads) HEAD], keys and values [kvHeads][capacity][HEAD],
//           cosine and sine [positions][ROTARY / 2], output [rows][heads HEAD], all float32.
//           Rotation is of halves against halves, as Hugging Face's.
// Variants  HEAD, the elements of a head; ROTARY, the first of them that are rotated (all, unless
//           given); QUERIES, the query heads that a block serves from one
//           reading of their key-value head, a divisor of heads / kvHeads.
// Launch    grid (heads / QUERIES, splits, rows), 256 threads. The positions of a row are split over
//           blocks, which are added up in their order: from Hopper on they are a cluster (1, splits, 1)
//           of at most 8 and read each other's shared memory; before, the last block to finish reads
//           what the others left in `partial`. `positions` and what the cache holds before the first
//           new row must have been written by kernels that were done when this one started: they
//           are read before the kernel waits for the one that computes qkv.
//
// New rows are read from qkv and rotated on the way, by every block that needs them; only the
// first split of a head group writes them to the cache, so no block waits for another.
//
// Measured on an H100 in a step of 32 heads, 8 key-value heads, HEAD 64, position 512 (2026-11-24):
// 7.6 us from the end of the kernel before to its own; with splits added up through memory by the
// last block, and the cache read after the wait, 13 us.

#ifndef HEAD
#define HEAD 64
#endif
#ifndef QUERIES
#define QUERIES 4
#endif

// Points of a block's life, which Benchmarks/cuda/step_timeline.cu takes the time of.
#ifndef MARK
#define MARK(point)
#endif

typedef unsigned int u32;

#include "attention_rows.cu"

// Mirrored by cmglu_cuda_attention in cmglu_cuda.h.
struct Attention {
  const float *qkv;
  float *keys, *values, *output;
  const float *cosine, *sine;
  const int *positions;
  float *partial;  // [rows][heads][splits][HEAD + 2]
  u32 *counters;   // [rows][heads / QUERIES], zero before and after
  int heads, kvHeads, capacity, window;
  float scale;
};

__device__ __forceinline__ void rotate_pairs(
    const Attention &a, long long position, int lane, float (&pairs)[PAIRS][2]) {
#pragma unroll
  for (int pair = 0; pair < PAIRS; pair++) {
    const int i = pair * 32 + lane;
    if (i < TURNS)
      rotate(pairs[pair][0], pairs[pair][1], a.cosine[position * TURNS + i], a.sine[position * TURNS + i]);
  }
}

__device__ __forceinline__ float remote(const float *address, u32 rank) {
  float value;
  u32 at = (u32)__cvta_generic_to_shared(address);
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(at) : "r"(at), "r"(rank));
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(value) : "r"(at));
  return value;
}

__device__ __forceinline__ void cluster_barrier() {
  asm volatile("barrier.cluster.arrive.aligned;\n\tbarrier.cluster.wait.aligned;" ::: "memory");
}

extern "C" __global__ void __launch_bounds__(WARPS * 32)
attention(const __grid_constant__ Attention a) {
  __shared__ float shared[WARPS][QUERIES][HEAD + 2];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int groups = a.heads / a.kvHeads / QUERIES;
  const int kv = blockIdx.x / groups, first = blockIdx.x * QUERIES;
  const int split = blockIdx.y, splits = gridDim.y, row = blockIdx.z;
  const int width = (a.heads + 2 * a.kvHeads) * HEAD;
  MARK(0);
  const int start = a.positions[0], position = start + row, length = position + 1;
  const int lowest = max(0, length - a.window), share = (length - lowest + splits - 1) / splits;
  const int from = lowest + split * share, to = min(length, from + share);
  const long long cache = (long long)kv * a.capacity * HEAD;

  // Old rows of the first round, before the wait; of the others, their way to L2.
  KeyValue rows[AHEAD];
#pragma unroll
  for (int ahead = 0; ahead < AHEAD; ahead++) {
    const long long at = from + warp * AHEAD + ahead;
    if (at < min(start, to)) {
      load_pairs(a.keys + cache + at * HEAD, lane, rows[ahead].key);
      load_pairs(a.values + cache + at * HEAD, lane, rows[ahead].value);
    }
  }
  for (long long at = from + WARPS * AHEAD + warp; at < min(start, to); at += WARPS)
    if (lane * 32 < HEAD) {
      asm volatile("prefetch.global.L2 [%0];" ::"l"(a.keys + cache + at * HEAD + lane * 32));
      asm volatile("prefetch.global.L2 [%0];" ::"l"(a.values + cache + at * HEAD + lane * 32));
    }
  MARK(1);
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
  MARK(2);
  const float *own = a.qkv + (long long)row * width;

  // exp(scale x) as 2^x: the factor goes into the queries.
  float query[QUERIES][PAIRS][2];
#pragma unroll
  for (int q = 0; q < QUERIES; q++) {
    load_pairs(own + (first + q) * HEAD, lane, query[q]);
    rotate_pairs(a, position, lane, query[q]);
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++) {
      query[q][pair][0] *= a.scale * 1.44269504f;
      query[q][pair][1] *= a.scale * 1.44269504f;
    }
  }
  if (split == 0 && warp == 0 && blockIdx.x % groups == 0) {
    KeyValue added;
    load_pairs(own + (a.heads + kv) * HEAD, lane, added.key);
    load_pairs(own + (a.heads + a.kvHeads + kv) * HEAD, lane, added.value);
    rotate_pairs(a, position, lane, added.key);
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++) {
      const int i = pair * 32 + lane;
      const long long at = cache + (long long)position * HEAD;
      if (i < HALF) {
        a.keys[at + low_of(i)] = added.key[pair][0], a.keys[at + high_of(i)] = added.key[pair][1];
        a.values[at + low_of(i)] = added.value[pair][0], a.values[at + high_of(i)] = added.value[pair][1];
      }
    }
  }

  Running running[QUERIES];
  clear(running);
  MARK(3);
#if __CUDA_ARCH__ >= 900
  // Not before this block has its queries: the copies of the next kernel would be in their way.
  asm volatile("griddepcontrol.launch_dependents;");
#endif
  for (int j = from + warp * AHEAD; j < to; j += WARPS * AHEAD) {
#pragma unroll
    for (int ahead = 0; ahead < AHEAD; ahead++) {
      const int at = min(j + ahead, to - 1);
      if (at >= start) {
        const float *source = a.qkv + (long long)(at - start) * width + (a.heads + kv) * HEAD;
        load_pairs(source, lane, rows[ahead].key);
        load_pairs(source + a.kvHeads * HEAD, lane, rows[ahead].value);
        rotate_pairs(a, at, lane, rows[ahead].key);
      } else if (j > from + warp * AHEAD || j + ahead >= to) {
        load_pairs(a.keys + cache + (long long)at * HEAD, lane, rows[ahead].key);
        load_pairs(a.values + cache + (long long)at * HEAD, lane, rows[ahead].value);
      }
    }
    add_rows(running, query, rows, to - j);
  }

  leave(running, shared[warp], lane);
  __syncthreads();
  float *output = a.output + ((long long)row * a.heads + first) * HEAD;
  // What this block found, of all its warps.
  __shared__ float merged[QUERIES][HEAD + 2];
  for (int item = threadIdx.x; item < QUERIES * HEAD; item += WARPS * 32) {
    const int q = item / HEAD, i = item % HEAD;
    float largest, sum;
    const float value = merge(shared, q, i, largest, sum);
    merged[q][i] = value;
    if (i == 0) merged[q][HEAD] = largest, merged[q][HEAD + 1] = sum;
    if (splits == 1) output[item] = value / sum;
  }
  MARK(4);
  if (splits == 1) return;
#if __CUDA_ARCH__ >= 900
  cluster_barrier();
  for (int item = threadIdx.x * splits + split; item < QUERIES * HEAD; item += WARPS * 32 * splits) {
    const int q = item / HEAD, i = item % HEAD;
    float largest = -3.0e38f, sum = 0.f, value = 0.f, own_largest[8];
#pragma unroll
    for (int s = 0; s < 8; s++)
      if (s < splits) largest = fmaxf(largest, own_largest[s] = remote(&merged[q][HEAD], s));
#pragma unroll
    for (int s = 0; s < 8; s++)
      if (s < splits) {
        const float factor = exp2f(own_largest[s] - largest);
        sum += factor * remote(&merged[q][HEAD + 1], s);
        value += factor * remote(&merged[q][i], s);
      }
    output[item] = value / sum;
  }
  MARK(5);
  // Shared memory stays until everyone has read it.
  cluster_barrier();
#else
  __shared__ bool is_last;
  float *partial = a.partial + ((long long)row * a.heads + first) * splits * (HEAD + 2);
  __syncthreads();
  for (int item = threadIdx.x; item < QUERIES * (HEAD + 2); item += WARPS * 32)
    __stcg(partial + (item / (HEAD + 2) * splits + split) * (HEAD + 2) + item % (HEAD + 2),
           merged[item / (HEAD + 2)][item % (HEAD + 2)]);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0)
    is_last = atomicInc(a.counters + (long long)row * gridDim.x + blockIdx.x, splits - 1) == splits - 1;
  __syncthreads();
  if (!is_last) return;
  __threadfence();
  for (int item = threadIdx.x; item < QUERIES * HEAD; item += WARPS * 32) {
    const int q = item / HEAD, i = item % HEAD;
    const float *all = partial + q * splits * (HEAD + 2);
    float largest = -3.0e38f, sum = 0.f, value = 0.f;
    for (int s = 0; s < splits; s++) largest = fmaxf(largest, __ldcg(all + s * (HEAD + 2) + HEAD));
    for (int s = 0; s < splits; s++) {
      const float factor = exp2f(__ldcg(all + s * (HEAD + 2) + HEAD) - largest);
      sum += factor * __ldcg(all + s * (HEAD + 2) + HEAD + 1);
      value += factor * __ldcg(all + s * (HEAD + 2) + i);
    }
    output[item] = value / sum;
  }
#endif
}
