// attention_chunk: a block of a cache, 64 positions, for up to eight queries at a time, on tensor
// cores, by one warp. A part of attention_decode.cu and decode.cu, which include it after
// attention_numbers.cu: it takes their HEAD, a multiple of 32, and QUERIES.
//
// Scores are K Q^T, sums of values V^T P^T (m16n8k16), with queries as the eight columns. A product does not
// mind the order of its sum: a lane reads 16 bytes of a key for two steps, and the same elements of
// a query. Of values it reads the same elements of two positions and pairs them. So the cache goes straight
// to registers, in whole lines; only weights are transposed, within the warp.
//
// What a chunk gives depends on nothing but its rows. Splits of a sequence fold their chunks in order
// (chunk c belongs to split c % SPLITS), and splits are merged in order, whoever computes them: a row
// has the same bits however its work is divided.

constexpr int SPLITS = 8;
constexpr int GROUPS = BLOCK / 16;             // of positions
constexpr int STEPS = HEAD / 16;               // of a product over a head
constexpr int COLUMNS = HEAD / 8;              // of values that a lane has
constexpr int PIECE = HEAD % 64 == 0 ? 8 : 4;  // of them, read together
constexpr float NOTHING = -3.0e38f;            // less than any score

// Sums of values in progress, of queries 2 (lane % 4) and the next: the elements that value_column() says.
struct Chunk {
  float largest[2], sum[2], value[COLUMNS][2];
};

__device__ __forceinline__ int value_column(int i, int lane) {
  return i / PIECE * PIECE * 8 + lane / 4 * PIECE + i % PIECE;
}

__device__ __forceinline__ void multiply_rows(
    float (&d)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
#if BF16
#define MULTIPLY "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
#else
#define MULTIPLY "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
#endif
  asm(MULTIPLY " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
#undef MULTIPLY
}

// Of eight rows of eight, two elements a lane.
__device__ __forceinline__ u32 transposed(u32 pair) {
  u32 value;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(value) : "r"(pair));
  return value;
}

// Over the lanes that have the same queries, in a fixed order.
template <class Combine> __device__ __forceinline__ float over_positions(float x, Combine combine) {
#pragma unroll
  for (int offset = 4; offset < 32; offset *= 2) x = combine(x, __shfl_xor_sync(~0u, x, offset));
  return x;
}

// This lane's part of query lane / 4, of the first `count`, `[count][HEAD]`.
__device__ __forceinline__ void load_query(
    u32 (&query)[STEPS][2], const Element *queries, int count, int lane) {
#pragma unroll
  for (int step = 0; step < STEPS; step += 2) {
    uint4 word = make_uint4(0, 0, 0, 0);
    if (lane / 4 < count)
      word = *(const uint4 *)(queries + lane / 4 * HEAD + step * 16 + lane % 4 * 8);
    query[step][0] = word.x, query[step][1] = word.y;
    query[step + 1][0] = word.z, query[step + 1][1] = word.w;
  }
}

// Positions first..<last of 64 whose keys and values are `[64][HEAD]`; `factor` is that of a score in an
// exponent of 2. Others are not read. `between()` is done with the keys read, and values not yet.
template <bool isWhole, class Between>
__device__ __forceinline__ Chunk attend_chunk(
    const u32 (&query)[STEPS][2], const Element *keys, const Element *values, int first, int last,
    float factor, int lane, Between between) {
  const int row = lane / 4, quarter = lane % 4;
  const auto has = [&](int at) { return isWhole || (at >= first && at < last); };
  float score[GROUPS][4] = {};
#pragma unroll
  for (int n = 0; n < GROUPS; n++)
#pragma unroll
    for (int step = 0; step < STEPS; step += 2) {
      const int at = n * 16 + row;
      const Element *key = keys + at * HEAD + quarter * 8 + step * 16;
      const uint4 none = make_uint4(0, 0, 0, 0);
      const uint4 low = has(at) ? *(const uint4 *)key : none;
      const uint4 high = has(at + 8) ? *(const uint4 *)(key + 8 * HEAD) : none;
      multiply_rows(score[n], low.x, high.x, low.y, high.y, query[step][0], query[step][1]);
      multiply_rows(score[n], low.z, high.z, low.w, high.w, query[step + 1][0], query[step + 1][1]);
    }
  Chunk found;
  float offset[2];
#pragma unroll
  for (int q = 0; q < 2; q++) {
    float largest = NOTHING;
#pragma unroll
    for (int n = 0; n < GROUPS; n++)
#pragma unroll
      for (int i = 0; i < 2; i++) {
        if (!has(n * 16 + row + i * 8)) score[n][2 * i + q] = NOTHING;
        largest = fmaxf(largest, score[n][2 * i + q]);
      }
    largest = over_positions(largest, [](float x, float y) { return fmaxf(x, y); });
    found.largest[q] = largest;
    offset[q] = -__fmul_rn(largest, factor);
  }
  float sum[2] = {};
  u32 weights[GROUPS][2];
#pragma unroll
  for (int n = 0; n < GROUPS; n++)
#pragma unroll
    for (int i = 0; i < 2; i++) {
      float weight[2];
#pragma unroll
      for (int q = 0; q < 2; q++) {
        weight[q] = power_of_two(fmaf(score[n][2 * i + q], factor, offset[q]));
        if (!has(n * 16 + row + i * 8)) weight[q] = 0.f;
        sum[q] = __fadd_rn(sum[q], weight[q]);
      }
      weights[n][i] = transposed(narrow(weight[0], weight[1]));
    }
#pragma unroll
  for (int q = 0; q < 2; q++)
    found.sum[q] = over_positions(sum[q], [](float x, float y) { return __fadd_rn(x, y); });
  between();

#pragma unroll
  for (int piece = 0; piece < COLUMNS; piece += PIECE) {
    float value[PIECE / 2][4] = {};
#pragma unroll
    for (int n = 0; n < GROUPS; n++) {
      // Of positions 2 quarter, + 1, + 8 and + 9.
      u32 word[4][PIECE / 2];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int at = n * 16 + quarter * 2 + i % 2 + i / 2 * 8;
        const Element *from = values + at * HEAD + piece * 8 + row * PIECE;
        if constexpr (PIECE == 8) {
          const uint4 all = has(at) ? *(const uint4 *)from : make_uint4(0, 0, 0, 0);
          word[i][0] = all.x, word[i][1] = all.y, word[i][2] = all.z, word[i][3] = all.w;
        } else {
          const uint2 all = has(at) ? *(const uint2 *)from : make_uint2(0, 0);
          word[i][0] = all.x, word[i][1] = all.y;
        }
      }
#pragma unroll
      for (int i = 0; i < PIECE / 2; i++)
        multiply_rows(
            value[i], __byte_perm(word[0][i], word[1][i], 0x5410),
            __byte_perm(word[0][i], word[1][i], 0x7632), __byte_perm(word[2][i], word[3][i], 0x5410),
            __byte_perm(word[2][i], word[3][i], 0x7632), weights[n][0], weights[n][1]);
    }
#pragma unroll
    for (int i = 0; i < PIECE; i++)
#pragma unroll
      for (int q = 0; q < 2; q++) found.value[piece + i][q] = value[i / 2][i % 2 * 2 + q];
  }
  return found;
}

__device__ __forceinline__ Chunk attend_chunk(
    const u32 (&query)[STEPS][2], const Element *keys, const Element *values, int first, int last,
    float factor, int lane) {
  return first <= 0 && last >= BLOCK
             ? attend_chunk<true>(query, keys, values, first, last, factor, lane, [] {})
             : attend_chunk<false>(query, keys, values, first, last, factor, lane, [] {});
}

// The factors of what is there and of what is added, whose largest scores are these: the first
// becomes that of both.
__device__ __forceinline__ float2 fold_factors(float &largest, float added, float factor) {
  const float both = fmaxf(largest, added);
  const float2 factors = make_float2(power_of_two((largest - both) * factor),
                                     power_of_two((added - both) * factor));
  largest = both;
  return factors;
}
__device__ __forceinline__ float fold(float value, float added, float2 factors) {
  return fmaf(added, factors.y, __fmul_rn(value, factors.x));
}

// Adds a chunk to those before it.
__device__ __forceinline__ void fold(Chunk &all, const Chunk &added, float factor) {
#pragma unroll
  for (int q = 0; q < 2; q++) {
    const float2 factors = fold_factors(all.largest[q], added.largest[q], factor);
    all.sum[q] = fold(all.sum[q], added.sum[q], factors);
#pragma unroll
    for (int i = 0; i < COLUMNS; i++)
      all.value[i][q] = fold(all.value[i][q], added.value[i][q], factors);
  }
}

// What a query has of a chunk or a split, in shared memory: sums of values, the largest score, the
// sum of weights.
typedef float Found[HEAD + 2];

__device__ __forceinline__ void leave(const Chunk &chunk, Found *found, int lane) {
#pragma unroll
  for (int q = 0; q < 2; q++) {
    if (lane % 4 * 2 + q >= QUERIES) break;
    float *own = found[lane % 4 * 2 + q];
#pragma unroll
    for (int i = 0; i < COLUMNS; i++) own[value_column(i, lane)] = chunk.value[i][q];
    if (lane < 4) own[HEAD] = chunk.largest[q], own[HEAD + 1] = chunk.sum[q];
  }
}

// Adds what `count` chunks, in their order, have of a thread's elements.
template <int ITEMS>
__device__ __forceinline__ void fold_chunks(
    const Found (*found)[QUERIES], int count, float factor, int thread, int threads,
    float (&largest)[ITEMS], float (&sum)[ITEMS], float (&value)[ITEMS]) {
#pragma unroll
  for (int n = 0; n < ITEMS; n++) {
    const int item = n * threads + thread, q = item / HEAD, i = item % HEAD;
    if (item >= QUERIES * HEAD) return;
    for (int w = 0; w < count; w++) {
      const float2 factors = fold_factors(largest[n], found[w][q][HEAD], factor);
      sum[n] = fold(sum[n], found[w][q][HEAD + 1], factors);
      value[n] = fold(value[n], found[w][q][i], factors);
    }
  }
}
