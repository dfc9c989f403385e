// attention: the new rows of one sequence over its cache of keys and values, with rotary positions.
//
// Problem   For each new row r at position p = positions[r], and each query head: rotate query and
//           key, store key and value at p, attend to positions 0...p. Softmax in float32, online.
// Layout    qkv [rows][(heads + 2 kvHeads) HEAD], keys and values [kvHeads][capacity][HEAD],
//           cosine and sine [positions][HEAD / 2], output [rows][heads HEAD], all float32.
//           Rotation is of halves against halves, as Hugging Face's.
// Variants  HEAD, the elements of a head; QUERIES, the query heads that a block serves from one
//           reading of their key-value head, a divisor of heads / kvHeads.
// Launch    grid (kvHeads * heads / kvHeads / QUERIES, splits, rows), 256 threads. The positions of a
//           row are split over blocks; the last block of a row and head group to finish adds up what
//           the others left in `partial`, in the order of the splits: the result depends on
//           `splits`, which a session keeps, but not on which block came last.
//
// New rows are read from qkv and rotated on the way, by every block that needs them; only the
// first split of a head group writes them to the cache, so no block waits for another.

#ifndef HEAD
#define HEAD 64
#endif
#ifndef QUERIES
#define QUERIES 4
#endif

typedef unsigned int u32;

constexpr int WARPS = 8;
constexpr int HALF = HEAD / 2;
constexpr int PAIRS = (HALF + 31) / 32;  // of elements i and i + HALF, of a lane
constexpr int AHEAD = 4;                 // positions that a warp treats together

// Mirrored by cmglu_cuda_attention in cmglu_cuda.h.
struct Attention {
  const float *qkv;
  float *keys, *values, *output;
  const float *cosine, *sine;
  const int *positions;
  float *partial;  // [rows][heads][splits][HEAD + 2]
  u32 *counters;   // [rows][heads / QUERIES], zero before and after
  int heads, kvHeads, capacity;
  float scale;
};

__device__ __forceinline__ void rotate(float &low, float &high, float cosine, float sine) {
  const float rotated = low * cosine - high * sine;
  high = high * cosine + low * sine;
  low = rotated;
}

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int offset = 16; offset; offset >>= 1) value += __shfl_xor_sync(~0u, value, offset);
  return value;
}

// A softmax-weighted sum of values in progress.
struct Running {
  float largest, sum, value[PAIRS][2];
};

extern "C" __global__ void __launch_bounds__(WARPS * 32)
attention(const __grid_constant__ Attention a) {
  __shared__ float shared[WARPS][QUERIES][HEAD + 2];
  __shared__ bool is_last;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int groups = a.heads / a.kvHeads / QUERIES;
  const int kv = blockIdx.x / groups, first = blockIdx.x * QUERIES;
  const int split = blockIdx.y, splits = gridDim.y, row = blockIdx.z;
  const int width = (a.heads + 2 * a.kvHeads) * HEAD;
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
  const int start = a.positions[0], position = start + row, length = position + 1;
  const float *own = a.qkv + (long long)row * width;
  const long long cache = (long long)kv * a.capacity * HEAD;

  // exp(scale x) as 2^x: the factor goes into the queries.
  float query[QUERIES][PAIRS][2];
#pragma unroll
  for (int pair = 0; pair < PAIRS; pair++) {
    const int i = pair * 32 + lane;
    const bool inside = i < HALF;
    const float cosine = inside ? a.cosine[(long long)position * HALF + i] : 0.f;
    const float sine = inside ? a.sine[(long long)position * HALF + i] : 0.f;
#pragma unroll
    for (int q = 0; q < QUERIES; q++) {
      float low = inside ? own[(first + q) * HEAD + i] : 0.f;
      float high = inside ? own[(first + q) * HEAD + i + HALF] : 0.f;
      rotate(low, high, cosine, sine);
      query[q][pair][0] = low * a.scale * 1.44269504f;
      query[q][pair][1] = high * a.scale * 1.44269504f;
    }
    if (split == 0 && warp == 0 && blockIdx.x % groups == 0 && inside) {
      float low = own[(a.heads + kv) * HEAD + i], high = own[(a.heads + kv) * HEAD + i + HALF];
      rotate(low, high, cosine, sine);
      const long long at = cache + (long long)position * HEAD + i;
      a.keys[at] = low;
      a.keys[at + HALF] = high;
      a.values[at] = own[(a.heads + a.kvHeads + kv) * HEAD + i];
      a.values[at + HALF] = own[(a.heads + a.kvHeads + kv) * HEAD + i + HALF];
    }
  }

  Running running[QUERIES];
#pragma unroll
  for (int q = 0; q < QUERIES; q++) {
    running[q].largest = -3.0e38f;
    running[q].sum = 0.f;
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++) running[q].value[pair][0] = running[q].value[pair][1] = 0.f;
  }
  const int share = (length + splits - 1) / splits;
  const int from = split * share, to = min(length, from + share);
  for (int j = from + warp * AHEAD; j < to; j += WARPS * AHEAD) {
    float value[AHEAD][PAIRS][2], score[AHEAD][QUERIES] = {};
#pragma unroll
    for (int ahead = 0; ahead < AHEAD; ahead++) {
      const int at = min(j + ahead, to - 1);
      const bool is_new = at >= start;
      const float *key = is_new ? a.qkv + (long long)(at - start) * width + (a.heads + kv) * HEAD
                                : a.keys + cache + (long long)at * HEAD;
      const float *v = is_new ? key + a.kvHeads * HEAD : a.values + cache + (long long)at * HEAD;
#pragma unroll
      for (int pair = 0; pair < PAIRS; pair++) {
        const int i = pair * 32 + lane;
        const bool inside = i < HALF;
        float low = inside ? key[i] : 0.f, high = inside ? key[i + HALF] : 0.f;
        value[ahead][pair][0] = inside ? v[i] : 0.f;
        value[ahead][pair][1] = inside ? v[i + HALF] : 0.f;
        if (is_new && inside)
          rotate(low, high, a.cosine[(long long)at * HALF + i], a.sine[(long long)at * HALF + i]);
#pragma unroll
        for (int q = 0; q < QUERIES; q++)
          score[ahead][q] += query[q][pair][0] * low + query[q][pair][1] * high;
      }
    }
#pragma unroll
    for (int q = 0; q < QUERIES; q++) {
      float largest = running[q].largest;
#pragma unroll
      for (int ahead = 0; ahead < AHEAD; ahead++) {
        score[ahead][q] = j + ahead < to ? warp_sum(score[ahead][q]) : -3.0e38f;
        largest = fmaxf(largest, score[ahead][q]);
      }
      const float old = exp2f(running[q].largest - largest);
      running[q].largest = largest;
      running[q].sum *= old;
#pragma unroll
      for (int pair = 0; pair < PAIRS; pair++)
        running[q].value[pair][0] *= old, running[q].value[pair][1] *= old;
#pragma unroll
      for (int ahead = 0; ahead < AHEAD; ahead++) {
        const float p = j + ahead < to ? exp2f(score[ahead][q] - largest) : 0.f;
        running[q].sum += p;
#pragma unroll
        for (int pair = 0; pair < PAIRS; pair++) {
          running[q].value[pair][0] += p * value[ahead][pair][0];
          running[q].value[pair][1] += p * value[ahead][pair][1];
        }
      }
    }
  }

#pragma unroll
  for (int q = 0; q < QUERIES; q++) {
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++) {
      const int i = pair * 32 + lane;
      if (i < HALF) {
        shared[warp][q][i] = running[q].value[pair][0];
        shared[warp][q][i + HALF] = running[q].value[pair][1];
      }
    }
    if (lane == 0) {
      shared[warp][q][HEAD] = running[q].largest;
      shared[warp][q][HEAD + 1] = running[q].sum;
    }
  }
  __syncthreads();
  float *partial = a.partial + ((long long)row * a.heads + first) * splits * (HEAD + 2);
  float *output = a.output + ((long long)row * a.heads + first) * HEAD;
  for (int item = threadIdx.x; item < QUERIES * HEAD; item += WARPS * 32) {
    const int q = item / HEAD, i = item % HEAD;
    float largest = -3.0e38f, sum = 0.f, value = 0.f;
#pragma unroll
    for (int w = 0; w < WARPS; w++) largest = fmaxf(largest, shared[w][q][HEAD]);
#pragma unroll
    for (int w = 0; w < WARPS; w++) {
      const float factor = exp2f(shared[w][q][HEAD] - largest);
      sum += factor * shared[w][q][HEAD + 1];
      value += factor * shared[w][q][i];
    }
    if (splits == 1) {
      output[item] = value / sum;
    } else {
      float *mine = partial + (q * splits + split) * (HEAD + 2);
      __stcg(mine + i, value);
      if (i == 0) {
        __stcg(mine + HEAD, largest);
        __stcg(mine + HEAD + 1, sum);
      }
    }
  }
  if (splits == 1) return;
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
}
