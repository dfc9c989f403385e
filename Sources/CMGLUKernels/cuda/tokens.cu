// tokens: the two ends of a decoder's step and the small operations between, none of which reads
// much: copies of tokens and positions, rows of the embedding, routes, and sampling of tokens.
//
// embed        x [rows][columns] = rows of a matrix in the cells of fused_linear.cu (one plane, no masks); a
//              token that is none, chosen where no logit was a number, is read as another.
// embed_rows   the same from a float32 matrix.
// copy_words   32-bit words, from or to memory of the host too.
// gather_rows  rows of `words` 32-bit words at the indices given, one to a block; a row whose index is
//              negative stays.
// route        routes [rows][count] = softmax over the topK largest of each row of logits, 0
//              elsewhere; of equal logits the lower index counts as larger. A thread per element.
// add_bias     x += bias, in each of the rows of `width` elements; `count` elements in all.
// rms_norm_in_place  x = weight (.) x / sqrt(mean(x^2) + epsilon) for `count` norms of `width` elements,
//              `parts` of them side by side in rows `stride` apart.
// sample       the next token of each row of logits (tokens_sample.cu).
// logprobs     log-probabilities of tokens under rows of logits (tokens_logprobs.cu).

#include "cmglu_numbers.h"

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long long u64;

__device__ __forceinline__ void wait_for_input() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

extern "C" __global__ void embed(
    const int *tokens, const unsigned char *cells, float *x, int columns, int type) {
  wait_for_input();
  const int token = max(tokens[blockIdx.x], 0), perTile = (columns + 63) / 64, row = token & 15;
  const int cellBytes = type == CMGLU_I8 ? 1024 + 64 : 2048;
  const unsigned char *tile = cells + (long long)(token >> 4) * perTile * cellBytes;
  for (int k = threadIdx.x; k < columns; k += blockDim.x) {
    const unsigned char *cell = tile + (k >> 6) * cellBytes;
    const int block = k >> 5 & 1, half = row >> 3, lane = (row & 7) * 4 + (k >> 3 & 3);
    u16 bits;
    float factor = 1.f, value;
    if (type == CMGLU_I8) {
      factor = (float)(cell[(block * 32 + lane) * 16 + half * 8 + (k & 7)] - 128);
      bits = ((const u16 *)(cell + 1024))[(row & 7) * 4 + block * 2 + half];
    } else {
      bits = ((const u16 *)cell)[((block * 2 + half) * 32 + lane) * 8 + (k & 7)];
    }
    if (type == CMGLU_BF16) value = __uint_as_float((u32)bits << 16);
    else asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    x[(long long)blockIdx.x * columns + k] = factor * value;
  }
}

extern "C" __global__ void embed_rows(const int *tokens, const float *table, float *x, int columns) {
  wait_for_input();
  const float *row = table + (long long)max(tokens[blockIdx.x], 0) * columns;
  for (int k = threadIdx.x; k < columns; k += blockDim.x)
    x[(long long)blockIdx.x * columns + k] = row[k];
}

extern "C" __global__ void copy_words(const u32 *source, u32 *target, u64 count) {
  wait_for_input();
  for (u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x)
    target[i] = source[i];
}

extern "C" __global__ void gather_rows(const u32 *source, const int *indices, u32 *target, u64 words) {
  wait_for_input();
  const int index = indices[blockIdx.x];
  if (index < 0) return;
  for (u64 i = threadIdx.x; i < words; i += blockDim.x)
    target[blockIdx.x * words + i] = source[index * words + i];
}

extern "C" __global__ void route(const float *logits, float *routes, int rows, int count, int topK) {
  wait_for_input();
  const int item = blockIdx.x * blockDim.x + threadIdx.x;
  if (item >= rows * count) return;
  const float *row = logits + item / count * count;
  const int own = item % count;
  float largest = row[0], sum = 0.f;
  for (int i = 1; i < count; i++) largest = fmaxf(largest, row[i]);
  bool is_kept = false;
  for (int i = 0; i < count; i++) {
    int rank = 0;
    for (int j = 0; j < count; j++) rank += row[j] > row[i] || (row[j] == row[i] && j < i);
    if (rank >= topK) continue;
    sum += expf(row[i] - largest);
    if (i == own) is_kept = true;
  }
  routes[item] = is_kept ? expf(row[own] - largest) / sum : 0.f;
}

extern "C" __global__ void add_bias(float *x, const float *bias, u64 count, int width) {
  wait_for_input();
  for (u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x)
    x[i] += bias[i % width];
}

// A warp each norm.
extern "C" __global__ void rms_norm_in_place(
    float *x, const float *weight, float epsilon, long long count, int width, int parts,
    long long stride) {
  wait_for_input();
  const long long index = blockIdx.x * (long long)(blockDim.x / 32) + threadIdx.x / 32;
  if (index >= count) return;
  float *const own = x + index / parts * stride + index % parts * width;
  float squares = 0.f;
  for (int j = threadIdx.x % 32; j < width; j += 32) squares += own[j] * own[j];
#pragma unroll
  for (int offset = 16; offset; offset >>= 1) squares += __shfl_xor_sync(~0u, squares, offset);
  const float r = 1.f / sqrtf(squares / width + epsilon);
  for (int j = threadIdx.x % 32; j < width; j += 32) own[j] = weight[j] * (own[j] * r);
}

#include "tokens_sample.cu"
#include "tokens_logprobs.cu"
