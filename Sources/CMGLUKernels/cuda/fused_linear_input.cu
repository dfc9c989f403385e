// fused_linear_input: rows of x in the weights' type, normalized on the way, where cells are multiplied
// with them. A part of fused_linear_unit.cu, which includes it: it takes its FusedLinear and WARPS, and
// fused_linear_numbers.cu.

// Whether rows are interleaved: of each 32 elements, which are four words of two for each of four lanes, first
// words of all lanes come first. Products of wgmma read them as they are (fused_linear_wgmma.cu).
#ifndef INTERLEAVED
#define INTERLEAVED 0
#endif

// Where an element of an interleaved row lies.
__device__ __forceinline__ int place_of(int column) {
  return INTERLEAVED ? (column & ~31) | (column & 6) << 2 | (column >> 2 & 6) | (column & 1) : column;
}

// Of four elements of an interleaved row from `place` on, a multiple of four, where the first two come from;
// the others come from eight columns behind.
__device__ __forceinline__ int interleaved_from(int place) {
  return (place & ~31) | (place & 4) << 2 | (place >> 2 & 6);
}

// Eight elements of a row from column k on, zeros beyond its end.
__device__ __forceinline__ void load_chunk(const FusedLinear &f, int row, int k, float (&value)[8]) {
  const long long first = (long long)row * f.columns + k;
  if (f.columns % 8 == 0 && f.inputType == CMGLU_F32 && k < f.columns) {
    const float4 a = *(const float4 *)((const float *)f.x + first);
    const float4 b = *(const float4 *)((const float *)f.x + first + 4);
    value[0] = a.x, value[1] = a.y, value[2] = a.z, value[3] = a.w;
    value[4] = b.x, value[5] = b.y, value[6] = b.z, value[7] = b.w;
  } else if (f.columns % 8 == 0 && f.inputType == (BF16 ? CMGLU_BF16 : CMGLU_F16) && k < f.columns) {
    const uint4 words = *(const uint4 *)((const u16 *)f.x + first);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float2 pair = widen(component(words, i));
      value[2 * i] = pair.x, value[2 * i + 1] = pair.y;
    }
  } else {
#pragma unroll
    for (int i = 0; i < 8; i++)
      value[i] = k + i < f.columns ? load(f.x, f.inputType, first + i) : 0.f;
  }
}

__device__ __forceinline__ void scale_chunk(const FusedLinear &f, int k, float scale, float (&value)[8]) {
#pragma unroll
  for (int i = 0; i < 8; i++)
    if (k + i < f.columns) value[i] *= scale * f.norm[k + i];
}

// Four words of each thread of a quad: word j of thread i becomes word i of thread j.
__device__ __forceinline__ uint4 transposed(const uint4 &words) {
  const u32 quad = 0xfu << (threadIdx.x & 28), own = threadIdx.x & 3;
  u32 word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int bit = 1; bit < 4; bit *= 2)
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (!(i & bit)) {
        const u32 given = own & bit ? word[i] : word[i | bit];
        const u32 taken = __shfl_xor_sync(quad, given, bit);
        word[i] = own & bit ? taken : word[i];
        word[i | bit] = own & bit ? word[i | bit] : taken;
      }
  return make_uint4(word[0], word[1], word[2], word[3]);
}

// Stores a chunk in the weights' type, in pieces that add up to it: a row of `xs` each. Where they are
// interleaved, the chunks of a quad of threads are 32 columns.
__device__ __forceinline__ void store_chunk(
    const FusedLinear &f, unsigned char *xs, int stride, int row, int k, float (&value)[8]) {
  for (int piece = 0; piece < f.pieces; piece++) {
    uint4 packed;
    packed.x = narrow(value[0], value[1]);
    packed.y = narrow(value[2], value[3]);
    packed.z = narrow(value[4], value[5]);
    packed.w = narrow(value[6], value[7]);
    unsigned char *to = xs + (long long)(row * f.pieces + piece) * stride;
    *(uint4 *)(to + k * 2) = INTERLEAVED ? transposed(packed) : packed;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float2 taken = widen(component(packed, i));
      value[2 * i] -= taken.x;
      value[2 * i + 1] -= taken.y;
    }
  }
}

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int offset = 16; offset; offset >>= 1) value += __shfl_xor_sync(~0u, value, offset);
  return value;
}

__device__ __forceinline__ float squares(const float (&value)[8]) {
  float sum = 0.f;
#pragma unroll
  for (int i = 0; i < 8; i++) sum += value[i] * value[i];
  return sum;
}

// Chunks that a thread has in flight while x is staged.
constexpr int AHEAD = TILES > 1 ? 2 : 4;

// The first chunks of a row for this thread, and what a norm multiplies the row with. The block's sum
// of squares is added up in an order that does not depend on the length.
__device__ __forceinline__ float load_row(
    const FusedLinear &f, int row, float (&value)[AHEAD][8], float *scratch) {
  const int chunks = (f.columns + 63) / 64 * 8, step = WARPS * 32;
#pragma unroll
  for (int a = 0; a < AHEAD; a++) {
    const int chunk = threadIdx.x + a * step;
    if (chunk < chunks) load_chunk(f, row, chunk * 8, value[a]);
  }
  if (!f.norm) return 1.f;
  float sum = 0.f, more[8];
#pragma unroll
  for (int a = 0; a < AHEAD; a++)
    if (threadIdx.x + a * step < chunks) sum += squares(value[a]);
  for (int chunk = threadIdx.x + AHEAD * step; chunk < chunks; chunk += step) {
    load_chunk(f, row, chunk * 8, more);
    sum += squares(more);
  }
  sum = warp_sum(sum);
  if ((threadIdx.x & 31) == 0) scratch[threadIdx.x >> 5] = sum;
  __syncthreads();
  float total = 0.f;
#pragma unroll
  for (int w = 0; w < WARPS; w++) total += scratch[w];
  return rsqrtf(total / f.columns + f.epsilon);
}

// One row: read once, where it is no longer than the threads can hold.
__device__ __forceinline__ void stage_row(
    const FusedLinear &f, unsigned char *xs, int stride, float *scratch, int row) {
  const int chunks = (f.columns + 63) / 64 * 8, step = WARPS * 32;
  float value[AHEAD][8];
  const float scale = load_row(f, row, value, scratch);
#pragma unroll
  for (int a = 0; a < AHEAD; a++) {
    const int k = (threadIdx.x + a * step) * 8;
    if (k >= chunks * 8) break;
    if (f.norm) scale_chunk(f, k, scale, value[a]);
    store_chunk(f, xs, stride, row, k, value[a]);
  }
  for (int chunk = threadIdx.x + AHEAD * step; chunk < chunks; chunk += step) {
    load_chunk(f, row, chunk * 8, value[0]);
    if (f.norm) scale_chunk(f, chunk * 8, scale, value[0]);
    store_chunk(f, xs, stride, row, chunk * 8, value[0]);
  }
}

// All rows of x in the weights' type, in pieces: [batch * pieces][stride bytes], zeros beyond its
// columns. `scratch` holds WARPS or batch floats.
__device__ __forceinline__ void stage_input(
    const FusedLinear &f, unsigned char *xs, int stride, float *scratch) {
  if (f.batch == 1) return stage_row(f, xs, stride, scratch, 0);
  const int lane = threadIdx.x & 31, chunks = (f.columns + 63) / 64 * 8, step = WARPS * 32;
  if (f.norm) {
    for (int row = threadIdx.x >> 5; row < f.batch; row += WARPS) {
      // As stage_row adds them up: a row's norm does not depend on its batch.
      float total = 0.f;
#pragma unroll
      for (int w = 0; w < WARPS; w++) {
        float sum = 0.f, value[8];
        for (int chunk = w * 32 + lane; chunk < chunks; chunk += step) {
          load_chunk(f, row, chunk * 8, value);
          sum += squares(value);
        }
        total += warp_sum(sum);
      }
      if (lane == 0) scratch[row] = rsqrtf(total / f.columns + f.epsilon);
    }
    __syncthreads();
  }
  const int count = f.batch * chunks;
  for (int start = threadIdx.x; start < count; start += step * AHEAD) {
    float value[AHEAD][8];
#pragma unroll
    for (int a = 0; a < AHEAD; a++) {
      const int item = start + a * step;
      if (item < count) load_chunk(f, item / chunks, item % chunks * 8, value[a]);
    }
#pragma unroll
    for (int a = 0; a < AHEAD; a++) {
      const int item = start + a * step, row = item / chunks, k = item % chunks * 8;
      if (item >= count) break;
      if (f.norm) scale_chunk(f, k, scratch[row], value[a]);
      store_chunk(f, xs, stride, row, k, value[a]);
    }
  }
}

// Rows of staged input are this far apart: half a bank cycle more than whole ones, so that the two
// rows of a quarter warp meet no conflict.
__device__ __forceinline__ int input_stride(int columns) { return (columns + 63) / 64 * 128 + 64; }
