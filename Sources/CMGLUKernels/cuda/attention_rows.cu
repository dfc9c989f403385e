// attention_rows: what a warp does with rows of a cache of keys and values of any type: a
// softmax-weighted sum in progress, in float32, which warps and blocks merge. A part of attention.cu and
// decode.cu, which include it after attention_numbers.cu and attention_rotation.cu: it takes their HEAD and
// QUERIES.
//
// Positions are taken 64 at a time, a block of the cache: WARPS x AHEAD, twice. With splits, chunk c
// belongs to split c % splits.

constexpr int WARPS = 8;
constexpr int PAIRS = (HALF + 31) / 32;  // of elements, of a lane
constexpr int AHEAD = 4;                 // positions that a warp treats together
constexpr int ROUND = WARPS * AHEAD;     // and all warps

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int offset = 16; offset; offset >>= 1) value += __shfl_xor_sync(~0u, value, offset);
  return value;
}

// A softmax-weighted sum of values in progress.
struct Running {
  float largest, sum, value[PAIRS][2];
};

// What a row of the cache, or a new one, has for this lane.
struct KeyValue {
  float key[PAIRS][2], value[PAIRS][2];
};

__device__ __forceinline__ void load_pairs(const Element *row, int lane, float (&pairs)[PAIRS][2]) {
#pragma unroll
  for (int pair = 0; pair < PAIRS; pair++) {
    const int i = pair * 32 + lane;
    pairs[pair][0] = i < HALF ? to_float(row[low_of(i)]) : 0.f;
    pairs[pair][1] = i < HALF ? to_float(row[high_of(i)]) : 0.f;
  }
}

// Adds the first `count` rows to what the queries have of those before.
__device__ __forceinline__ void add_rows(
    Running (&running)[QUERIES], const float (&query)[QUERIES][PAIRS][2],
    const KeyValue (&rows)[AHEAD], int count) {
  float score[AHEAD][QUERIES] = {};
#pragma unroll
  for (int ahead = 0; ahead < AHEAD; ahead++)
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++)
#pragma unroll
      for (int q = 0; q < QUERIES; q++)
        score[ahead][q] = fmaf(
            query[q][pair][1], rows[ahead].key[pair][1],
            fmaf(query[q][pair][0], rows[ahead].key[pair][0], score[ahead][q]));
#pragma unroll
  for (int q = 0; q < QUERIES; q++) {
    float largest = running[q].largest;
#pragma unroll
    for (int ahead = 0; ahead < AHEAD; ahead++) {
      score[ahead][q] = warp_sum(score[ahead][q]);
      if (ahead >= count) score[ahead][q] = -3.0e38f;
      largest = fmaxf(largest, score[ahead][q]);
    }
    const float old = exp2f(running[q].largest - largest);
    running[q].largest = largest;
    running[q].sum = __fmul_rn(running[q].sum, old);
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++) {
      running[q].value[pair][0] = __fmul_rn(running[q].value[pair][0], old);
      running[q].value[pair][1] = __fmul_rn(running[q].value[pair][1], old);
    }
#pragma unroll
    for (int ahead = 0; ahead < AHEAD; ahead++) {
      const float p = ahead < count ? exp2f(score[ahead][q] - largest) : 0.f;
      running[q].sum += p;
#pragma unroll
      for (int pair = 0; pair < PAIRS; pair++) {
        running[q].value[pair][0] =
            fmaf(p, rows[ahead].value[pair][0], running[q].value[pair][0]);
        running[q].value[pair][1] =
            fmaf(p, rows[ahead].value[pair][1], running[q].value[pair][1]);
      }
    }
  }
}

__device__ __forceinline__ void clear(Running (&running)[QUERIES]) {
#pragma unroll
  for (int q = 0; q < QUERIES; q++) {
    running[q].largest = -3.0e38f;
    running[q].sum = 0.f;
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++) running[q].value[pair][0] = running[q].value[pair][1] = 0.f;
  }
}

// What a warp has found, for the others: sums of values, the largest score, the sum of weights.
__device__ __forceinline__ void leave(
    const Running (&running)[QUERIES], float (&found)[QUERIES][HEAD + 2], int lane) {
#pragma unroll
  for (int q = 0; q < QUERIES; q++) {
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++) {
      const int i = pair * 32 + lane;
      if (i < HALF) {
        found[q][low_of(i)] = running[q].value[pair][0];
        found[q][high_of(i)] = running[q].value[pair][1];
      }
    }
    if (lane == 0) {
      found[q][HEAD] = running[q].largest;
      found[q][HEAD + 1] = running[q].sum;
    }
  }
}

// Element i of what all warps have found for a query.
__device__ __forceinline__ float merge(
    const float (&found)[WARPS][QUERIES][HEAD + 2], int q, int i, float &largest, float &sum) {
  largest = -3.0e38f, sum = 0.f;
  float value = 0.f;
#pragma unroll
  for (int w = 0; w < WARPS; w++) largest = fmaxf(largest, found[w][q][HEAD]);
#pragma unroll
  for (int w = 0; w < WARPS; w++) {
    const float factor = power_of_two(found[w][q][HEAD] - largest);
    sum = fmaf(factor, found[w][q][HEAD + 1], sum);
    value = fmaf(factor, found[w][q][i], value);
  }
  return value;
}
