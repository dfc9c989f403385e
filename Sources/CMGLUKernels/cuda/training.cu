// training: what a decoder's training needs beside products, attention and units: embedding, norm,
// rotation, loss, and the optimizer.
//
// embed                x = rows of the table at `tokens`.
// embed_backward       dTable += the rows of dX, at their tokens.
// rms_norm             y = weight (.) x r, r = 1 / sqrt(mean(x^2) + epsilon), kept per row.
// rms_norm_backward    dX += r (weight (.) dY) - x r^3 mean(weight (.) dY (.) x), and per block of
//                      rows the sum of dY (.) x r, which add_columns adds to dWeight.
// add_bias             x += bias, in every row.
// sum_rows             per block of rows their sum, which add_columns adds to the bias's gradient.
// rotate               (a, b) -> (a cos - b sin, b cos + a sin), halves of a head against each
//                      other, in place; with `direction` -1 back.
// cross_entropy        losses = log sum e^(x - max) + (max - x[target]); logits become
//                      (softmax - onehot) scale.
// distill              losses = (1 - s) cross-entropy + s T^2 KL(teacher / T, logits / T); logits
//                      become its gradient.
// adamw                m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
//                      w = (1 - rate decay) w - rate (m / c1) / (sqrt(v / c2) + epsilon).
// sums_of_squares      in float64: per 16384 elements, then add_sums over them.
// add_rows             y = (y +) x[0] + x[1] + ..., in the order of the rows.
// convert              float32 -> BF16.
// scaled_difference    e = s (x - y) by rows; _wide leaves float32.
//
// Layout    Activations, their gradients and the table that is read are BF16 [rows][width]; weights
//           of norms, statistics, losses, gradients of parameters, masters and moments are float32.
//           Everything is computed in float32 and rounded once.
// Variants  WIDE 1 where every row begins at a multiple of 16 bytes, 0 for any other width.
// Launch    is said at each kernel. No sum depends on which block comes first: results are the same
//           bit for bit at every run, and no float is added atomically.
//
// Measured on an H100 (2026-11-25; 16384 tokens, h 768, 24 + 12 heads of 32, 4096 rows of 50304
// logits, 130 M parameters), microseconds and GB/s of the bytes that must move, of some 3000:
//     embed               17  2970       cross_entropy              308  2672
//     rms_norm            19  2611         row not kept             338  3657 (a part from L2)
//     rms_norm_backward   45  2260         loss only                147  2797
//     rotate              26  2927       sums_of_squares            172  3024
//     convert            257  3040       adamw                     1597  2768, and cleared gradients
//     embed_backward     128 (tokens as frequent as words: one of 16 is the same), 119 (even)
// adamw leaves gradients now: on an H200 (2026-11-26, 141 M parameters) 1094 us, 3870 GB/s.
// embed_backward is bound by instructions and latency, not by bytes. With 8 rows on their way, of
// different tokens too, it took 171 and 65 us: rows of the most frequent token are added in turn.

#ifndef WIDE
#define WIDE 1
#endif

typedef unsigned int u32;
typedef unsigned short u16;
typedef long long i64;

namespace training {

#include "training_rows.cu"

// The sum of every thread's value, for all; `sums` has a place for each warp and is free again
// after the next barrier but one.
template <class T>
__device__ __forceinline__ T block_sum(T value, T *sums) {
#pragma unroll
  for (int offset = 16; offset; offset >>= 1) value += __shfl_xor_sync(~0u, value, offset);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = value;
  __syncthreads();
  T sum = 0;
  for (int warp = 0; warp < blockDim.x / 32; warp++) sum += sums[warp];
  return sum;
}

}  // namespace training

#include "training_embedding.cu"
#include "training_norm.cu"
#include "training_bias.cu"

// Rotation ----------------------------------------------------------------------------------------

// Blocks of (parts of a row, rows): a part is up to eight elements of the lower half of what is rotated
// of a head, its first 2 `half` elements, and their partners. Query and key heads of `head` elements lie
// at the start of a row of `width`. A row is WIDE where `half` and `head` are.
extern "C" __global__ void __launch_bounds__(1024) rotate(
    u16 *qkv, const int *__restrict__ positions, const float *__restrict__ cosine,
    const float *__restrict__ sine, float direction, i64 rows, int width, int heads, int head, int half) {
  using namespace training;
  const i64 row = blockIdx.x * (i64)blockDim.y + threadIdx.y;
  if (row >= rows) return;
  const i64 angle = positions[row] * (i64)half;
  const int parts = (half + 7) / 8;
  for (int item = threadIdx.x; item < heads * parts; item += blockDim.x) {
    const int j = item % parts * 8, live = half - j;
    u16 *low = qkv + row * width + item / parts * head + j, *high = low + half;
    float a[8], b[8], c[8], s[8], x[8], y[8];
    widen(load(low, live), a), widen(load(high, live), b);
    load(cosine + angle + j, c, live), load(sine + angle + j, s, live);
#pragma unroll
    for (int k = 0; k < 8; k++) {
      s[k] *= direction;
      x[k] = a[k] * c[k] - b[k] * s[k];
      y[k] = b[k] * c[k] + a[k] * s[k];
    }
    store(low, narrow(x), live), store(high, narrow(y), live);
  }
}

#include "training_loss.cu"
#include "training_optimizer.cu"
#include "training_difference.cu"
